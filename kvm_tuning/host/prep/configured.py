"""Collect what the configuration wants from every group, in order."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import next_boot
from kvm_tuning.host.prep.goals import Address, Argument, Item, Note, Terms
from kvm_tuning.host.prep.groups.table import GROUPS

if TYPE_CHECKING:
    from kvm_tuning.host.prep.journal import Journal


def items(
    conf: Any, host: Host, record: 'Journal | None' = None
) -> list[Item]:
    """Return everything that the configuration wants of a host.

    :param record: the journal, where it may be read: it shows which kernel
        arguments are ours and no longer wanted.
    :raises ConfigInvalid: an option has a value that makes no sense.
    :raises InventoryUnreadable: the host cannot be read.
    """
    found = [item for group in GROUPS for item in group.items(conf, host)]
    arguments = [item for item in found if isinstance(item, Argument)]
    keys = {argument.key for argument in arguments}
    managed = [
        key for group in GROUPS for key in group.arguments if key in keys
    ]
    rest = [item for item in found if not isinstance(item, Argument)]
    if found:
        rest += [Note('inventory', each) for each in host.inventory.oddities]
    return rest + list(next_boot.goals(host, arguments, managed, record))


def absent(conf: Any, names: Iterable[str]) -> list[str]:
    """Return those groups of ``names`` of which nothing is configured.

    :raises ConfigInvalid: an option cannot be understood.
    """
    known = {group.name: group for group in GROUPS}
    return [name for name in names if known[name].wanted(conf) is None]


def terms(conf: Any, host: Host) -> Terms:
    """Return the terms of changes that the configuration sets."""
    meanwhile: dict[Address, str] = {}
    for group in GROUPS:
        if group.meanwhile is not None:
            meanwhile.update(group.meanwhile(conf, host))
    return Terms(
        allow={
            group.name: words
            for group in GROUPS
            if (words := group.allowed(conf))
        },
        write_timeout=conf.host_prep.write_timeout,
        meanwhile=meanwhile,
    )
