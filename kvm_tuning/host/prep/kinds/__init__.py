"""Kinds of settings: how each is read, written and persisted."""
