"""Guest NUMA cells: which vCPUs and how much memory belong together."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import CellDemand, Demand
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import ConflictingKnobs
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Count, Knob, VcpuList
from kvm_tuning.core.nova.topology import GuestCell
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome

#: Nova has no upper limit; more cells than vCPUs make no sense.
_MAX_CELLS = 4096


class NumaCells(Hook):
    """Every demand on CPUs and memory is per guest cell, so this hook yields
    them for all cells. A guest without cells counts as one cell here, and its
    XML gets none.
    """

    name = 'numa_cells'
    knobs = (
        Knob(
            'hw:numa_nodes',
            Count(1, _MAX_CELLS),
            'Number of NUMA cells that the guest sees. Each is placed on a '
            'host cell of its own.',
            nova=True,
            image='hw_numa_nodes',
            preferable=False,
        ),
        Knob(
            'hw:numa_cpus',
            VcpuList(),
            'vCPUs of guest cell N, as in hw:numa_cpus.0=0-3. Without it the '
            'vCPUs are split evenly.',
            nova=True,
            parameter=r'\d+',
            preferable=False,
        ),
        Knob(
            'hw:numa_mem',
            Count(0, 2**31 - 1),
            'Memory of guest cell N in MiB, as in hw:numa_mem.0=2048. '
            'Without it the memory is split evenly.',
            nova=True,
            parameter=r'\d+',
            preferable=False,
        ),
    )
    cells = True
    also = (
        'kvm:cpu_locality',
        'kvm:memory_locality',
        'kvm:emulator_cpus',
        'kvm:iothread_cpus',
        'kvm:vhost_cpus',
    )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        if request.topology is None:
            yield CellDemand(
                0,
                frozenset(range(request.vcpus)),
                frozenset(),
                request.memory_mib * 1024,
                whole=True,
            )
            return
        for cell in request.topology.cells:
            yield CellDemand(
                cell.id, cell.vcpus, cell.dedicated, cell.memory_mib * 1024
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        if request.topology is None:
            return
        wanted = {cell.id for cell in request.topology.cells}
        for cell in guest.cells:
            if cell.id not in wanted:
                yield Absent(f"cpu/numa/cell[@id='{cell.id}']")
        for each in request.topology.cells:
            yield Element(
                f"cpu/numa/cell[@id='{each.id}']",
                {
                    'cpus': cpuset.format(each.vcpus),
                    'memory': str(_memory_kib(each, guest)),
                    'unit': 'KiB',
                },
            )


def _memory_kib(cell: GuestCell, guest: Guest) -> int:
    """Return the memory that a guest cell has without its memory devices:
    libvirt counts these in addition.
    """
    plugged = guest.sizes.devices_kib.get(cell.id, 0)
    left = cell.memory_mib * 1024 - plugged
    if left <= 0:
        raise ConflictingKnobs(
            f'guest cell {cell.id} gets {cell.memory_mib} MiB, but memory '
            f'devices of the domain have {plugged // 1024} MiB in it: request '
            f'more memory, or take them out of the domain'
        )
    return left
