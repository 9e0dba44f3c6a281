"""The ready gate: whether this host keeps what its configuration says.

For ``kvm-tuning host ready``, which units run before nova-compute, and for
whatever starts without units: ``ready.check()`` at a start in a container.
It needs no privilege, and writes nothing.
"""

from collections.abc import Iterator
from typing import Any

from kvm_tuning.host import configuration
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import configured, provision
from kvm_tuning.host.prep.goals import Goal, Item, Refusal


def check(root: str = '/', conf: Any = None) -> tuple[str, ...]:
    """Return why the host is not ready; nothing when it is.

    :raises ConfigInvalid: the configuration makes no sense.
    :raises InventoryUnreadable: the host cannot be read.
    """
    if conf is None:
        conf = configuration.load(root)
    tree = Tree(root)
    unfinished = provision.unfinished(tree)
    if unfinished is not None:
        return (unfinished,)
    host = Host(tree)
    ignored = frozenset(conf.host_prep.ready_ignores)
    return tuple(
        reason
        for item in configured.items(conf, host)
        if isinstance(item, Goal | Refusal) and item.concern not in ignored
        for reason in _reasons(item)
    )


def _reasons(item: Item) -> Iterator[str]:
    if isinstance(item, Refusal):
        yield str(item)
    elif isinstance(item, Goal) and not item.optional:
        where = f'[{item.concern}] {item.label}'
        if not item.reached:
            yield f'{where}: {item.found!r}, not {item.setting.value!r}'
        elif not item.in_force:
            yield f'{where}: comes into force {item.when.value}'
