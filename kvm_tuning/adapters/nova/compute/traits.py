"""The traits that placement gets for a host, for a flavor to require."""

from typing import Any

from kvm_tuning.core.compiled import TRAIT, TRAITS
from kvm_tuning.core.site import Capabilities
from kvm_tuning.host.access import attribute
from kvm_tuning.host.access.sysfs import Tree

PREFIX = TRAIT

_THP = 'sys/kernel/mm/transparent_hugepage/enabled'


def of(
    domains: int, capabilities: Capabilities, thp: str | None
) -> frozenset[str]:
    """Return the traits of a host.

    :param domains: how many L3 domains it shows.
    :param thp: the mode of transparent huge pages; None: unknown.
    """
    has = {
        PREFIX: True,
        f'{PREFIX}_L3': domains > 0,
        f'{PREFIX}_VHOST': capabilities.vhost_net.works is True,
        f'{PREFIX}_IO_URING': capabilities.io_uring.works is True,
        f'{PREFIX}_THP_ALWAYS': thp == 'always',
        # QEMU madvises the guest's memory, so a host on always qualifies, too.
        f'{PREFIX}_THP_MADVISE': thp in ('always', 'madvise'),
    }
    return frozenset(trait for trait, holds in has.items() if holds)


def thp_mode(root: str = '/') -> str | None:
    """Return the mode of transparent huge pages that is in force."""
    text = Tree(root).text(_THP) or ''
    return attribute.choice(text)[0]


def publish(provider_tree: Any, nodename: str, has: frozenset[str]) -> None:
    """Write the traits into Nova's provider tree."""
    provider_tree.add_traits(nodename, *sorted(has))
    provider_tree.remove_traits(nodename, *sorted(set(TRAITS) - has))
