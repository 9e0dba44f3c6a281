"""What the guest's scheduler sees of the host's caches."""

from collections import Counter
from collections.abc import Iterable

from kvm_tuning.core.demands import Demand, EvenDemand
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

TOPOLOGY = 'kvm:cache_topology'

_X86 = frozenset({None, 'x86_64', 'i686'})


class CacheTopology(Hook):
    """QEMU derives the guest's cache information from ``-smp``: one L3 cache
    per die. A guest whose dies match the host's L3 domains therefore schedules
    by them. That needs vCPUs that stay where they are, the same number in each
    domain.
    """

    name = 'cache_topology'
    knobs = (
        Knob(
            TOPOLOGY,
            Choice(('passthrough', 'emulate')),
            "The guest sees the host's own caches (passthrough, which needs "
            'CPU mode host-passthrough) or an emulated L3 cache (emulate), '
            'and a topology with one die per L3 domain. Needs dedicated '
            'vCPUs.',
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        asked = request.get(TOPOLOGY)
        if asked is None or not asked.promise:
            return
        cells = () if request.topology is None else request.topology.cells
        if not cells or any(cell.shared for cell in cells):
            yield ConflictingKnobs(
                f'{asked} needs vCPUs that stay on their pCPUs: set '
                f'hw:cpu_policy=dedicated'
            )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        asked = request.get(TOPOLOGY)
        if asked is not None:
            yield EvenDemand(asked.promise, str(asked))

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(TOPOLOGY)
        if asked is None:
            return
        shape = _shape(request, placement, site)
        why = None
        if guest.arch not in _X86:
            why = (
                'QEMU describes caches to x86 guests only, not to '
                f'{guest.arch}'
            )
        elif asked.value == 'passthrough' and (
            guest.cpu_mode != 'host-passthrough'
        ):
            why = (
                'the CPU mode of the domain is '
                f'{guest.cpu_mode or "not set"}; passthrough needs '
                'host-passthrough'
            )
        elif shape is None:
            why = (
                'the vCPUs are not spread evenly over L3 domains, so no '
                'guest topology can describe them'
            )
        if why is not None or shape is None:
            yield unkept(asked, 'not set', str(why))
            return
        emulate = asked.value == 'emulate'
        yield Element(
            'cpu/cache',
            {
                'mode': str(asked.value),
                'level': '3' if emulate else None,
            },
        )
        topology: dict[str, str | None] = dict(shape)
        if 'clusters' in guest.sizes.topology:
            # Newer ones of libvirt write it into every topology.
            topology['clusters'] = '1'
        yield Element('cpu/topology', topology)


def _shape(
    request: Request, placement: Placement, site: Site
) -> dict[str, str] | None:
    """Return sockets, dies, cores and threads; None when no topology fits.

    QEMU numbers vCPUs thread by thread, core by core, die by die.
    """
    pins = placement.pins
    cpus = site.inventory.cpu
    if len(pins) != request.vcpus or any(p not in cpus for p in pins.values()):
        return None
    order = [cpus[pins[vcpu]] for vcpu in sorted(pins)]
    threads = _threads([cpu.core for cpu in order])
    domains = [(cpu.cell, cpu.l3 or cpu.package) for cpu in order]
    if not _in_runs(domains) or not _in_runs([cpu.cell for cpu in order]):
        return None
    each = Counter(domains)
    cells = Counter(cell for cell, _l3 in each)
    if len(set(each.values())) > 1 or len(set(cells.values())) > 1:
        return None
    vcpus = next(iter(each.values()))
    if vcpus % threads:
        threads = 1
    return {
        'sockets': str(len(cells)),
        'dies': str(next(iter(cells.values()))),
        'cores': str(vcpus // threads),
        'threads': str(threads),
    }


def _threads(cores: list[frozenset[int]]) -> int:
    """Return how many consecutive vCPUs share each core."""
    runs = [1]
    for before, core in zip(cores, cores[1:], strict=False):
        if core == before:
            runs[-1] += 1
        else:
            runs.append(1)
    return runs[0] if len(set(runs)) == 1 else 1


def _in_runs(values: Iterable[object]) -> bool:
    """Return whether equal values are adjacent."""
    values = list(values)
    changes = sum(a != b for a, b in zip(values, values[1:], strict=False))
    return changes == len(set(values)) - 1
