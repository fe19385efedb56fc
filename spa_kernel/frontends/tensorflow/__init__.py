"""Reads models of TensorFlow: modules and SavedModels."""
