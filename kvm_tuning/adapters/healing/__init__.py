"""Heal this host: read its guests, plan, move their threads, record it."""
