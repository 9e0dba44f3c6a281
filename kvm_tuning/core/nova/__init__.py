"""Nova's own keys and image properties, read with Nova's meaning.

:mod:`kvm_tuning.core.nova.topology` makes a topology of them; a test compares
it with Nova's.
"""
