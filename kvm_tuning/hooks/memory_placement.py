"""Bind the guest's memory to the host cells of its vCPUs."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import Demand, MemoryDemand, MemoryMode
from kvm_tuning.core.effects import Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

MODE = 'kvm:memory_locality'


class MemoryPlacement(Hook):
    """A pinned vCPU is only half of locality: its memory must be local, too. A
    guest with cells gets Nova's strict binding unless another is requested.
    """

    name = 'memory_placement'
    knobs = (
        Knob(
            MODE,
            Choice(tuple(mode.value for mode in MemoryMode)),
            'The guest memory comes only from the host cells of its vCPUs '
            '(strict), from there first (preferred), or from all of them in '
            'turn (interleave).',
        ),
    )
    cells = True

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        asked = request.get(MODE)
        if asked is not None:
            yield MemoryDemand(MemoryMode(asked.value), str(asked))
        elif request.topology is not None:
            yield MemoryDemand(MemoryMode.STRICT, "the guest's NUMA cells")

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        mode = str(request.value(MODE, 'strict'))
        cells = placement.memory_cells
        if not cells:
            return
        if mode == 'preferred' and len(cells) > 1:
            if request.topology is None:
                asked = request.get(MODE)
                assert asked is not None  # Else the mode is strict.
                # libvirt: "'preferred' mode only supports single node".
                yield unkept(
                    asked,
                    'not bound',
                    'preferred takes one host cell, and the vCPUs float over '
                    f'cells {cpuset.format(cells)}: add '
                    'kvm:cpu_locality=numa, or use strict or interleave',
                )
                return
        else:
            wanted: dict[str, str | None] = {
                'mode': mode,
                'nodeset': cpuset.format(cells),
            }
            if guest.sizes.memory_placement is not None:
                # With auto, numad's choice, libvirt drops a nodeset.
                wanted['placement'] = None
            yield Element('numatune/memory', wanted)
        if request.topology is None:
            # Cells of the domain's own are bound each by itself.
            for number in guest.memnodes:
                yield Element(
                    f"numatune/memnode[@cellid='{number}']",
                    {'mode': mode, 'nodeset': cpuset.format(cells)},
                )
            return
        for cell in placement.cells:
            nodes = cells if mode == 'interleave' else {cell.host_cell}
            yield Element(
                f"numatune/memnode[@cellid='{cell.cell}']",
                {'mode': mode, 'nodeset': cpuset.format(nodes)},
            )
