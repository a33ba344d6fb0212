"""Preprocessing: quality control, annotation, embedding, neighbours, barcodes."""

from .cells.api import annotate, embed, neighbors
from .patient.api import qc
from .reads.api import match_barcodes

__all__ = ["annotate", "embed", "match_barcodes", "neighbors", "qc"]
