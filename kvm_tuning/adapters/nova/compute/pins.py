"""Read a server's pins anew where a request has brought old ones along.

The API reads a server with its pins and sends both to nova-compute. Pins that
are exchanged meanwhile are in Nova's record, and not in what arrives: a
delete would free pCPUs of another server, a hard reboot would start a guest
on them, and a resize would keep them for its revert.

A server with a migration context is left alone: its pins are not exchanged,
and Nova changes those of the object for as long as it needs the others.
"""

import functools
from typing import Any

from nova import exception, objects
from nova.compute import resource_tracker

_NAME = '_move_claim'

_stock: list[Any] = []


def refresh(instance: Any) -> None:
    """Give an ``Instance`` the pins that Nova has recorded, where it has any;
    one whose pins nobody has read yet will read them from there.
    """
    # An attribute that is not set would be read for this question alone.
    if not _has(instance, 'numa_topology') or _has(
        instance, 'migration_context'
    ):
        return
    try:
        found = objects.InstanceNUMATopology.get_by_instance_uuid(
            instance._context, instance.uuid
        )
    except exception.NumaTopologyNotFound:
        return
    if found is None:
        return
    # Otherwise the next save of anything of the server would store them.
    found.obj_reset_changes(recursive=True)
    instance.numa_topology = found
    instance.obj_reset_changes(['numa_topology'])


def install() -> None:
    """Have moves to a host of ours remember the pins of now."""
    if _stock:
        return
    original = getattr(resource_tracker.ResourceTracker, _NAME)
    _stock.append(original)

    @functools.wraps(original)
    def move_claim(
        self: Any, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        # Not every driver is ours.
        if getattr(self.driver, '_kvm_tuning', None) is not None:
            refresh(instance)
        return original(self, context, instance, *args, **kwargs)

    setattr(resource_tracker.ResourceTracker, _NAME, move_claim)


def uninstall() -> None:
    """Restore Nova's own moves."""
    if _stock:
        setattr(resource_tracker.ResourceTracker, _NAME, _stock.pop())


def _has(instance: Any, name: str) -> bool:
    return (
        instance.obj_attr_is_set(name) and getattr(instance, name) is not None
    )
