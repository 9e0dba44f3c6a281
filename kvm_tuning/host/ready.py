"""The ready gate: check that this host has what its configuration wants.

Units run it before nova-compute as ``kvm-tuning host ready``; a container
without units calls ``ready.check()`` when it starts. It needs no privileges
and writes nothing.
"""

from collections.abc import Iterator
from typing import Any

from kvm_tuning.host import configuration
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import configured, expected_run, provision, status
from kvm_tuning.host.prep.goals import Goal, Item, Refusal, Unseen


def check(root: str = '/', conf: Any = None) -> tuple[str, ...]:
    """Return the reasons why the host is not ready; none when it is.

    :raises ConfigInvalid: the configuration is not valid.
    :raises InventoryUnreadable: the host cannot be read.
    """
    if conf is None:
        conf = configuration.load(root)
    tree = Tree(root)
    unfinished = provision.unfinished(tree)
    if unfinished is not None:
        return (unfinished,)
    host = Host(tree)
    passed_over = expected_run.missing(root, host)
    if passed_over is not None:
        return (passed_over,)
    ignored = frozenset(conf.host_prep.ready_ignores)
    missing = tuple(
        f'[{name}] nothing of this group is configured, and [host_prep] '
        f'ready_needs names it'
        for name in configured.absent(conf, conf.host_prep.ready_needs)
    )
    return missing + tuple(
        reason
        for item in configured.items(conf, host)
        if not _is_ignored(item, ignored)
        for reason in _reasons(item)
    )


def _is_ignored(item: Item, words: frozenset[str]) -> bool:
    if isinstance(item, Unseen) and status.UNSEEN in words:
        return True
    return item.concern in words


def _reasons(item: Item) -> Iterator[str]:
    if isinstance(item, Refusal | Unseen):
        yield str(item)
    elif isinstance(item, Goal) and not item.optional:
        where = f'[{item.concern}] {item.label}'
        if not item.reached:
            yield f'{where}: {item.found!r}, not {item.setting.value!r}'
        elif not item.in_force:
            later = f'comes into force {item.when.value}'
            yield f'{where}: {item.shortfall or later}'
