"""The privsep context, at the path that installed rootwrap filters name."""

from kvm_tuning.host.guests.privsep import ctx

__all__ = ('ctx',)
