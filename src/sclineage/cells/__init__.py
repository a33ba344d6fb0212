"""Cells: embedding, neighbours, clusters."""
