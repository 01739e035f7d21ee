"""Searching for masks of pixels: what the extremal perturbations have in common."""
