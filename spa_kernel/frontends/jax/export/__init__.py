"""Writing what JAX traced as an ONNX model."""
