"""What a guest does not see of the cores that its dedicated vCPUs run on."""

from collections.abc import Iterable, Iterator, Sequence

from kvm_tuning.core import cpuset, whole
from kvm_tuning.core.effects import Consequence, Effect, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.solver import grid

#: Codes: they never change.
MIXED = 'mixed-cores'
SIBLINGS = 'unseen-siblings'


def consequences(
    guest: Guest,
    placement: Placement,
    effects: Sequence[Effect],
    inventory: Inventory,
) -> Iterator[Consequence]:
    """Yield that its vCPUs are of several kinds of core, or that some share a
    core without the guest's ``<topology>`` showing it.
    """
    pins = {
        vcpu: pcpu
        for vcpu, pcpu in sorted(placement.pins.items())
        if pcpu in inventory.cpu
    }
    yield from _mixed(pins, inventory)
    yield from _siblings(pins, _threads(guest, effects), inventory)


def _mixed(
    pins: dict[int, int], inventory: Inventory
) -> Iterator[Consequence]:
    kinds = grid.kinds(inventory.cpus)
    found: dict[int, set[int]] = {}
    for vcpu, pcpu in pins.items():
        kind = kinds[inventory.cpu[pcpu].capacity]
        found.setdefault(kind, set()).add(vcpu)
    if len(found) < 2:
        return
    fast, *slower = (found[kind] for kind in sorted(found))
    yield Consequence(
        MIXED,
        'tenant',
        f'vCPUs {cpuset.format(fast)} run on faster cores than vCPUs '
        f'{cpuset.format(set().union(*slower))}, and the guest cannot see '
        f'which: what waits for all of its threads waits for the slow ones',
    )


def _siblings(
    pins: dict[int, int], threads: int, inventory: Inventory
) -> Iterator[Consequence]:
    cores: dict[frozenset[int], list[int]] = {}
    for vcpu, pcpu in pins.items():
        cores.setdefault(inventory.cpu[pcpu].core, []).append(vcpu)
    hidden = [vcpus for vcpus in cores.values() if _is_hidden(vcpus, threads)]
    if not hidden:
        return
    named = cpuset.format({vcpu for vcpus in hidden for vcpu in vcpus})
    yield Consequence(
        SIBLINGS,
        'tenant',
        f'vCPUs {named} are thread siblings in pairs or more, and the '
        f'topology of the guest shows each on a core of its own: its '
        f'scheduler may load both threads of a core while others idle. '
        f'kvm:cache_topology shows them, threads="2" in <topology> does '
        f'(Nova: hw:cpu_threads=2), and hw:cpu_thread_policy=isolate leaves '
        f'the siblings idle',
    )


def _is_hidden(vcpus: Iterable[int], threads: int) -> bool:
    """Return whether vCPUs of one core are on several cores of the guest.

    QEMU numbers vCPUs thread by thread.
    """
    return len({vcpu // threads for vcpu in vcpus}) > 1


def _threads(guest: Guest, effects: Sequence[Effect]) -> int:
    """Return the threads of a core of the guest, as planned.

    libvirt's default is a socket for each vCPU.
    """
    shown = guest.sizes.topology.get('threads')
    for effect in effects:
        if isinstance(effect, Element) and effect.path == 'cpu/topology':
            shown = effect.attributes.get('threads', shown)
    return max(1, whole.number(shown or '1') or 1)
