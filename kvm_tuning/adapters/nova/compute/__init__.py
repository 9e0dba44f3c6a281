"""The driver's work on a compute node."""
