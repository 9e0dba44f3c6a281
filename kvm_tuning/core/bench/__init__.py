"""Measurements: what is compared, and what was found. Values only."""
