"""Reads to molecules: barcodes, UMIs and target features from FASTQ files. Arrays in, arrays out; `api` is the face."""
