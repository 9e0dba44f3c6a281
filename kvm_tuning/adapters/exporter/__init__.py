"""Metrics of a host and its guests, for Prometheus."""
