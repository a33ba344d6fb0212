"""Kernels: arrays in, arrays out; one contract, two devices."""
