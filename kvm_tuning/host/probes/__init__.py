"""Capabilities of a host, found by trying them."""
