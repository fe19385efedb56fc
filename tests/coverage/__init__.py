"""Which published networks are pruned exactly, without hints: a matrix with numerical proof."""
