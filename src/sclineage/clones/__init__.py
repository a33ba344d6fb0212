"""Clones: receptor normalisation, assignment, stable ids."""
