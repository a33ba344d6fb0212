"""Simulated patients with known truth, and decoys of real counts: nothing is downloaded."""

from .malignancy.decoys import plant_arms, pseudo_clone
from .simulate.api import scenarios, simulate, simulate_patient

__all__ = ["plant_arms", "pseudo_clone", "scenarios", "simulate", "simulate_patient"]
