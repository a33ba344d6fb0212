"""Which clones are malignant, and by which evidence."""
