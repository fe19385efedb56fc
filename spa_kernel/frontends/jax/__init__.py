"""Reading flax.nnx modules into the standard graph, from their jaxpr."""
