"""Operators that sum products, each as one matrix product of a weight and its inputs."""
