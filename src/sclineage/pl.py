"""Figures; each takes the data first and ``ax=``, and returns the Axes."""

from .plots import car_evidence, clone_timeline, evidence_lines, sample_qc, umap

__all__ = ["car_evidence", "clone_timeline", "evidence_lines", "sample_qc", "umap"]
