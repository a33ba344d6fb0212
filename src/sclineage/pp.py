"""Preprocessing: quality control, annotation, embedding, neighbours, gene positions, barcodes and molecules."""

from .cells.annotate_api import annotate
from .cells.api import embed, harmony, neighbors
from .malignancy.copynumber_api import gene_positions
from .patient.api import qc
from .reads.api import count_targets, match_barcodes
from .reads.refine import refine_construct

__all__ = ["annotate", "count_targets", "embed", "gene_positions", "harmony", "match_barcodes", "neighbors", "qc",
           "refine_construct"]
