"""Benchmarks of the embedding, the neighbour graph and the clusters."""
