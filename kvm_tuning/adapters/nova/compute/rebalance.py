"""Plan, now and then, which servers of a node should exchange pCPUs.

1. Run by ``get_available_resource``: Nova calls it before each audit, in the
   audit's thread and without its lock.
2. What servers hold is Nova's record; what else of a node's pCPUs its usage
   has, such as claims of migrations and emulator pCPUs, is left alone.
3. A server stays while Nova or libvirt does something with it, and where its
   domain is not what Nova has recorded.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
import json
import logging
import os
import time
from typing import Any

from nova import context, exception, objects
from nova.compute import vm_states
import nova.conf

from kvm_tuning.adapters.nova.compute.host import Host
from kvm_tuning.adapters.nova.exchange import records
from kvm_tuning.core import domain
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument, Unsupported
from kvm_tuning.core.healing import host as hosts
from kvm_tuning.core.healing import occupants, told
from kvm_tuning.core.healing.occupants import Occupant
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.host.access.system import System

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF


class Rebalance:
    """The plans of one nova-compute."""

    def __init__(self, libvirt: Any) -> None:
        """:param libvirt: Nova's ``virt.libvirt.host.Host``."""
        self._libvirt = libvirt
        #: By node: when it was planned last, on the monotonic clock, and what
        #: was said then.
        self._last: dict[str, tuple[float, str]] = {}

    def run(self, tracker: Any, host: Host, nodename: str) -> None:
        """Plan a node whose time has come; a failure is logged.

        :param tracker: Nova's ``ResourceTracker``.
        """
        # Before its first audit Nova has not counted anything.
        if nodename not in tracker.compute_nodes:
            return
        now = time.monotonic()
        then, before = self._last.get(nodename, (None, ''))
        if (
            then is not None
            and now - then < CONF.kvm_tuning.rebalance_interval
        ):
            return
        group = CONF.kvm_tuning
        try:
            found = self.plan(
                tracker,
                host,
                nodename,
                group.rebalance_budget / 100,
                group.rebalance_least_gain,
            )
            said = ' '.join(told.lines(found))
            _write(found)
        except Exception as error:
            said = f'not planned: {error}'
        self._last[nodename] = now, said
        if said != before:
            LOG.info('node %s, rebalance: %s', nodename, said)

    def plan(
        self,
        tracker: Any,
        host: Host,
        nodename: str,
        budget: float | None,
        least_gain: float,
    ) -> dict[str, Any]:
        """Return the plan of a node as a document.

        :param budget: most dedicated vCPUs that may move, as a share from 0
            to 1; None: any number.
        :param least_gain: least L3 domains won per moved vCPU.
        :raises Unsupported: the L3 layout is unknown, or two servers hold one
            pCPU; or the node was not audited yet.
        """
        node = tracker.compute_nodes.get(nodename)
        if node is None or not node.numa_topology:
            raise Unsupported(
                f'nova-compute has not counted what servers hold of node '
                f'{nodename} yet'
            )
        admin = context.get_admin_context()
        instances = objects.InstanceList.get_by_host_and_node(
            admin,
            tracker.host,
            nodename,
            expected_attrs=['numa_topology', 'migration_context'],
        )
        migrations = objects.MigrationList.get_in_progress_and_error(
            admin, tracker.host, nodename
        )
        moving = {each.instance_uuid for each in migrations}
        found = list(self._occupants(instances, moving, host.inventory))
        own = {c for o in found for c in (*o.pins.values(), *o.idle)}
        made = hosts.make(
            host.inventory,
            found,
            host.dedicated,
            dict.fromkeys(_held(node) - own, 'a claim of Nova'),
            budget,
            least_gain,
        )
        return {
            'node': nodename,
            'when': datetime.now(UTC).isoformat(),
            **told.document(made, host.inventory),
        }

    def _occupants(
        self,
        instances: Collection[Any],
        moving: Collection[str],
        inventory: Inventory,
    ) -> Iterator[Occupant]:
        for instance in instances:
            pins = records.pins(instance)
            if not pins or vm_states.allow_resource_removal(
                vm_state=instance.vm_state, task_state=instance.task_state
            ):
                continue
            yield occupants.placed(
                instance.uuid,
                pins,
                next(
                    cell.cpu_thread_policy
                    for cell in instance.numa_topology.cells
                    if cell.cpu_pinning
                ),
                inventory,
                self._domain(instance),
                records.busy(instance, instance.uuid in moving),
            )

    def _domain(self, instance: Any) -> Domain | None:
        """Return the domain of a server; None: there is none that can be
        understood.
        """
        try:
            guest = self._libvirt.get_guest(instance)
            found = domain.look(guest.get_xml_desc())
            _ = found.current
        except (exception.InstanceNotFound, InvalidDocument):
            return None
        return found


def _held(node: Any) -> frozenset[int]:
    """Return the pCPUs that Nova counts as pinned."""
    topology = objects.NUMATopology.obj_from_db_obj(node.numa_topology)
    return frozenset().union(*(cell.pinned_cpus for cell in topology.cells))


def _write(document: dict[str, Any]) -> None:
    path = os.path.join(CONF.state_path, 'kvm-tuning', 'rebalance-plan.json')
    System('/').replace(
        path.lstrip('/'), json.dumps({'version': 1, **document}), mode=0o600
    )
