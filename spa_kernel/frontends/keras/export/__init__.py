"""Keras models written as ONNX, with the variables' own names and layouts."""
