"""All options, for :func:`kvm_tuning.conf.load` and the sample generator."""

from oslo_config import cfg

from kvm_tuning.conf import (
    block_scheduler,
    compaction,
    cpu_isolation,
    defaults,
    host_prep,
    huge_pages,
    iommu,
    ksm,
    kvm_modules,
    libvirt,
    pci,
    placement,
    sriov,
    transparent_huge_pages,
)

_GROUPS = (
    placement,
    defaults,
    libvirt,
    pci,
    host_prep,
    sriov,
    block_scheduler,
    transparent_huge_pages,
    compaction,
    ksm,
    huge_pages,
    kvm_modules,
    iommu,
    cpu_isolation,
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by group (entry point ``oslo.config.opts``)."""
    return [(module.GROUP, list(module.OPTIONS)) for module in _GROUPS]
