"""Nova's own keys and image properties, read with Nova's meaning.

:mod:`kvm_tuning.core.nova.topology` turns them into a topology; a test
compares it with Nova's.
"""
