"""Options that are not about host-prep."""

from collections.abc import Sequence

from oslo_config import cfg

from kvm_tuning.conf import defaults, libvirt, pci, placement

#: Options by group, in order.
Groups = Sequence[tuple[str, Sequence[cfg.Opt]]]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by group."""
    return [
        (module.GROUP, list(module.OPTIONS))
        for module in (placement, defaults, libvirt, pci)
    ]
