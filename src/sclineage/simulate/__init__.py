"""Patients with known truth, written in the real file formats."""
