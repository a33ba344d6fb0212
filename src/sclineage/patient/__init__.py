"""One patient: sample sheet, readers, MuData, quality control."""
