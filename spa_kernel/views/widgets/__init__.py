"""Live views: all that needs ipywidgets; each holds its session by a weak reference."""
