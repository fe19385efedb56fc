"""ONNX models: reading them into the standard graph.

Models from torch keep the most structure, and the parameter names of ``state_dict()``, if they
are exported with ``torch.onnx.export(model, inputs, dynamo=True, optimize=False)``. With
``optimize=True``, the default, batch norms are folded into convolutions and transposed weights
are stored under new names: they can be pruned just as well, under those names.
"""
