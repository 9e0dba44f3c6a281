"""The path of our privsep context that installed rootwrap filters name."""

from kvm_tuning.host.guests.privsep import ctx

__all__ = ('ctx',)
