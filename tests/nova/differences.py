"""Nova's tests that fix what ours places better, with a host-wide preference
of L3 domains; each by name, with the reason.

They are run and listed, and have to fail.
"""

DIFFERENT: dict[str, str] = {}
