"""Figures; each takes the data first and ``ax=``, and returns the Axes."""

from .plots import (
    car_evidence,
    car_umi_histogram,
    clone_timeline,
    copy_number,
    evidence_lines,
    sample_qc,
    save,
    umap,
)

__all__ = ["car_evidence", "car_umi_histogram", "clone_timeline", "copy_number", "evidence_lines", "sample_qc",
           "save", "umap"]
