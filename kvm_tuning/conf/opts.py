"""All options, for :func:`kvm_tuning.conf.load` and the sample generator."""

from oslo_config import cfg

from kvm_tuning.conf import defaults, libvirt, pci, placement

_GROUPS = (placement, defaults, libvirt, pci)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by group (entry point ``oslo.config.opts``)."""
    return [(module.GROUP, list(module.OPTIONS)) for module in _GROUPS]
