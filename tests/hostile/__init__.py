"""Inputs that are meant to do harm: run by tools/test.sh hostile."""
