"""Reading a patient and checking a sheet."""

from .patient.api import check, read_patient, read_sheet

__all__ = ["check", "read_patient", "read_sheet"]
