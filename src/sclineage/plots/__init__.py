"""Figures of one patient: matplotlib alone, data first, everything else keyword-only, each returns its Axes."""

from __future__ import annotations

from .car import car_evidence, car_umi_histogram
from .copynumber import copy_number
from .embedding import umap
from .malignancy import evidence_lines
from .samples import sample_qc
from .style import save
from .timeline import clone_timeline

__all__ = ["car_evidence", "car_umi_histogram", "clone_timeline", "copy_number", "evidence_lines", "sample_qc",
           "save", "umap"]
