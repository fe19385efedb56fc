"""Keras 3 models, read from the graph of layers that a functional model keeps."""
