"""Nova's records of the servers that exchange pCPUs.

Nova stores a topology with lists of what has changed in it, and takes each
that it loads for changed: whoever saves anything of a server that was loaded
before an exchange stores its old pins. A record is *washed* when it has no
such lists. Stale objects that were loaded from it store no pins.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nova import exception, objects
from nova.compute import vm_states

#: The ``task_state`` of a server that exchanges pCPUs: the API refuses what
#: would start it elsewhere or anew, and lets a delete pass.
EXCHANGING = 'kvm_tuning_exchange'

#: States in which a server's pins can be changed: it runs, or the next start
#: writes its XML from them.
_SETTLED = (vm_states.ACTIVE, vm_states.PAUSED, vm_states.STOPPED)


def read(context: Any, uuid: str) -> Any | None:
    """Return a server as it is recorded now; None: it is gone."""
    try:
        return objects.Instance.get_by_uuid(
            context,
            uuid,
            expected_attrs=['numa_topology', 'migration_context'],
        )
    except exception.InstanceNotFound:
        return None


def pins(instance: Any) -> dict[int, int]:
    """Return the pCPU of each dedicated vCPU."""
    cells = instance.numa_topology and instance.numa_topology.cells
    return {
        vcpu: cpu
        for cell in cells or ()
        for vcpu, cpu in (cell.cpu_pinning or {}).items()
    }


def busy(instance: Any, moving: bool) -> str | None:
    """Return why a server's pins cannot be changed now.

    :param moving: it has a migration in progress, or one that failed.
    """
    if instance.task_state is not None:
        return f'Nova is at work on it ({instance.task_state})'
    if moving or instance.migration_context is not None:
        return 'it is being moved or resized, or waits for its confirmation'
    if instance.vm_state not in _SETTLED:
        return f'it is {instance.vm_state}'
    return None


def is_washed(instance: Any) -> bool:
    """Return whether a server that was just read has a washed record."""
    return 'numa_topology' not in instance.obj_what_changed()


def moved(topology: Any, after: Mapping[int, int]) -> Any:
    """Return a washed copy of a topology with other pins."""
    found = topology.obj_clone()
    for cell in found.cells:
        if cell.cpu_pinning:
            # One pin alone would be lost: the attribute is a copy.
            cell.cpu_pinning = {
                vcpu: after.get(vcpu, cpu)
                for vcpu, cpu in cell.cpu_pinning.items()
            }
    found.obj_reset_changes(recursive=True)
    return found


def store(instance: Any, after: Mapping[int, int]) -> None:
    """Record pins, washed; nothing else of the server is written."""
    instance.numa_topology = moved(instance.numa_topology, after)
    instance.save()


def hold(instances: Sequence[Any]) -> None:
    """Give servers without a task ours, or none of them.

    :raises UnexpectedTaskStateError: Nova has begun something with one.
    """
    held = []
    try:
        for instance in instances:
            instance.task_state = EXCHANGING
            instance.save(expected_task_state=[None])
            held.append(instance)
    except Exception:
        for instance in held:
            release(instance)
        raise


def release(instance: Any) -> None:
    """Take our task from a server that has it; one that Nova deletes
    meanwhile has another, and stays as it is.
    """
    instance.task_state = None
    try:
        instance.save(expected_task_state=[EXCHANGING, None])
    except (exception.UnexpectedTaskStateError, exception.InstanceNotFound):
        instance.obj_reset_changes(['task_state'])
