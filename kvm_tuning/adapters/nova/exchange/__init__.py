"""Exchange pCPUs between servers of a node: threads, domains and records.

``records`` is Nova's side, ``transaction`` does it, and finishes what was
interrupted. Nothing calls for an exchange yet: nova-compute plans only.
"""
