"""Where a clone comes from: timeline, distinctness."""
