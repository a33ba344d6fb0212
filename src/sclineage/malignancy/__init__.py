"""Malignant clones: lines of evidence, their fusion into a posterior, and what the data had the power to say."""
