"""ONNX models: reading them into the standard graph."""
