"""Reading models in JAX into the standard graph, from their jaxpr."""
