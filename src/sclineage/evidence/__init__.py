"""Evidence of a sparse feature in cells and clones: CAR and virus."""
