"""The kernel's side of the side panel in JupyterLab; what the two say is in the schema beside."""
