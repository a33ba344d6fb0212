"""Simulated patients with known truth: nothing is downloaded."""

from .simulate.api import scenarios, simulate, simulate_patient

__all__ = ["scenarios", "simulate", "simulate_patient"]
