"""All groups of host settings."""

from collections.abc import Mapping
from typing import Any

from kvm_tuning.host.prep.groups import (
    block_scheduler,
    compaction,
    cpu_isolation,
    huge_pages,
    iommu,
    ksm,
    kvm_modules,
    transparent_huge_pages,
)
from kvm_tuning.host.prep.groups.group import Group
from kvm_tuning.host.prep.groups.sriov import group as sriov

#: In the order of applying: small things first; interrupts last, when all
#: devices have theirs.
GROUPS: tuple[Group[Any, Any], ...] = (
    ksm.GROUP,
    transparent_huge_pages.GROUP,
    compaction.GROUP,
    huge_pages.GROUP,
    kvm_modules.GROUP,
    iommu.GROUP,
    sriov.GROUP,
    block_scheduler.GROUP,
    cpu_isolation.GROUP,
)

BY_NAME: Mapping[str, Group[Any, Any]] = {each.name: each for each in GROUPS}
