"""Find servers of this node that hold the same pCPU, and keep others off.

Nova assumes that this cannot be, and does not recover from it: its audit ends
at the second of the two servers, the log shows "Error updating resources",
and the usage that it had counted so far stays. Each later claim is then
given pCPUs of the servers that were not counted, without an error to anybody.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
import functools
import logging
from typing import Any

from nova import objects
from nova.compute import resource_tracker, vm_states

from kvm_tuning.core import cpuset

LOG = logging.getLogger(__name__)

_NAME = '_update_usage_from_instances'

_stock: list[Any] = []


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the servers of a node hold, where two of them hold one pCPU."""

    #: By pCPU that several servers hold: their UUIDs, in order.
    servers: Mapping[int, tuple[str, ...]]
    #: All pCPUs that any server of the node holds.
    held: frozenset[int]

    def __str__(self) -> str:
        """Name each pCPU with its servers."""
        return '; '.join(
            f'pCPU {pcpu}: {", ".join(uuids)}'
            for pcpu, uuids in sorted(self.servers.items())
        )


def find(instances: Iterable[Any]) -> Overlap | None:
    """Return the overlap of instances with their stored topologies, if two of
    them hold one pCPU.
    """
    holders: dict[int, list[str]] = defaultdict(list)
    for instance in instances:
        for pcpu in set(_pins(instance)):
            holders[pcpu].append(instance.uuid)
    several = {
        pcpu: tuple(sorted(uuids))
        for pcpu, uuids in holders.items()
        if len(uuids) > 1
    }
    return Overlap(several, frozenset(holders)) if several else None


def install() -> None:
    """Look at the instances that each audit of Nova has loaded anyway."""
    if _stock:
        return
    original = getattr(resource_tracker.ResourceTracker, _NAME)
    _stock.append(original)

    @functools.wraps(original)
    def update(self: Any, context: Any, instances: Any, nodename: Any) -> Any:
        # Not every driver is ours.
        tuning = getattr(self.driver, '_kvm_tuning', None)
        if tuning is not None:
            _note(tuning.overlaps, nodename, find(instances))
        return original(self, context, instances, nodename)

    setattr(resource_tracker.ResourceTracker, _NAME, update)


def uninstall() -> None:
    """Restore Nova's own audit."""
    if _stock:
        setattr(resource_tracker.ResourceTracker, _NAME, _stock.pop())


def kept_off(compute_node: Any, overlaps: Mapping[str, Overlap]) -> Any:
    """Return a compute node whose usage has each pCPU that a server holds;
    the same one where nothing overlaps.

    :param overlaps: by node.
    """
    # Nothing is read of the node where there is none, as a rule.
    overlap = overlaps and overlaps.get(compute_node.hypervisor_hostname)
    if not overlap or not compute_node.numa_topology:
        return compute_node
    topology = objects.NUMATopology.obj_from_db_obj(compute_node.numa_topology)
    for cell in topology.cells:
        cell.pinned_cpus = cell.pinned_cpus | (overlap.held & cell.pcpuset)
    changed = compute_node.obj_clone()
    changed.numa_topology = topology._to_json()
    return changed


def _note(
    known: dict[str, Overlap], nodename: str, found: Overlap | None
) -> None:
    before = known.pop(nodename, None)
    if found is not None:
        known[nodename] = found
    if found == before:
        return
    if found is None:
        LOG.info('node %s: no pCPU is held by two servers any more', nodename)
        return
    LOG.error(
        'node %s: servers hold the same pCPUs (%s); Nova cannot count its '
        'usage. New servers are kept off %s, which servers hold. Migrate, '
        'resize or shelve all but one of them',
        nodename,
        found,
        cpuset.format(found.held),
    )


def _pins(instance: Any) -> Iterator[int]:
    """Yield the pCPUs that the audit counts for an instance."""
    topology = instance.numa_topology
    if topology is None or vm_states.allow_resource_removal(
        vm_state=instance.vm_state, task_state=instance.task_state
    ):
        return
    for cell in topology.cells:
        yield from (cell.cpu_pinning or {}).values()
        yield from cell.cpuset_reserved or ()
