"""Aggregation of the gradients of R objectives into one direction, by weights found from their Gram matrix alone."""
