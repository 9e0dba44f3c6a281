"""Replace Nova's NUMA fit with ours: the path under which that is public."""

from kvm_tuning.adapters.nova.fit.patch import install, uninstall

__all__ = ['install', 'uninstall']
