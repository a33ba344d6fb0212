"""Preprocessing: quality control, annotation, embedding, neighbours, barcodes and molecules."""

from .cells.api import annotate, embed, neighbors
from .patient.api import qc
from .reads.api import count_targets, match_barcodes

__all__ = ["annotate", "count_targets", "embed", "match_barcodes", "neighbors", "qc"]
