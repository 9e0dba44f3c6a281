"""Whether Nova can book an answer of the fit."""

from typing import Any

from nova import exception
from nova.virt import hardware


def is_valid(found: Any, there: Any) -> bool:
    """Return whether each guest cell has a host cell of its own and a free
    pCPU there for each vCPU, by Nova's own accounting, too.

    :param found: the guest's topology with its pins.
    :param there: the host's, without that guest.
    """
    ids = [cell.id for cell in found.cells]
    if len(set(ids)) != len(ids):
        return False
    for cell in found.cells:
        pins = (cell.cpu_pinning or {}).values()
        if len(set(pins)) != len(cell.pcpuset):
            return False
        if not set(pins) <= there.cells[cell.id].free_pcpus:
            return False
    try:
        hardware.numa_usage_from_instance_numa(there, found)
    except exception.NovaException:
        return False
    return True
