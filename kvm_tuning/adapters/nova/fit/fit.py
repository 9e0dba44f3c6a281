"""Nova's fit of a guest's cells on a host's cells, decided by the solver.

``nova.virt.hardware.numa_fit_instance_to_host`` is called once in the claim,
which gives the guest its final pins, and in the scheduler, which only asks
whether they could be given. This one uses the fewest L3 domains, finds the
cells by pairing, and never mixes up one cell's pins with another's.

What a pair of cells needs besides pCPUs (pages, memory, limits) is left to
Nova's own ``_numa_fit_instance_cell``; devices and network affinity to Nova's
own judges. The result is an ordinary ``InstanceNUMATopology``.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from itertools import islice
from types import SimpleNamespace
from typing import Any, NamedTuple

from nova import objects
from nova.virt import hardware

from kvm_tuning.adapters.nova.fit import context, guest_cell, refusal
from kvm_tuning.adapters.nova.fit.guest_cell import Guest
from kvm_tuning.adapters.nova.fit.host_cells import NovaCells, read
from kvm_tuning.adapters.nova.fit.pairing import Choice, Pairing

#: How many sets of host cells are shown to Nova's judges of devices and
#: networks before the host is given up.
MOST_SETS = 512

#: Collects why a guest has no place, where somebody wants to know.
WHY: ContextVar[list[str] | None] = ContextVar('why', default=None)

Judge = Callable[[Sequence[int]], bool]


class Solution(NamedTuple):
    """A choice for each guest cell."""

    pairing: Pairing
    choices: list[Choice]


def fit(
    host_topology: Any,
    instance_topology: Any,
    provider_mapping: Any = None,
    limits: Any = None,
    pci_requests: Any = None,
    pci_stats: Any = None,
) -> Any:
    """Answer as ``numa_fit_instance_to_host``: the guest's topology with its
    cells, pages and pins, or None. The guest's cells are changed on success.
    """
    found = search(
        host_topology,
        instance_topology,
        provider_mapping,
        limits,
        pci_requests,
        pci_stats,
    )
    if found is None:
        return None
    policy = None
    if 'emulator_threads_policy' in instance_topology:
        policy = instance_topology.emulator_threads_policy
    return objects.InstanceNUMATopology(
        cells=found.pairing.give(found.choices),
        emulator_threads_policy=policy,
    )


def search(
    host_topology: Any,
    instance_topology: Any,
    provider_mapping: Any = None,
    limits: Any = None,
    pci_requests: Any = None,
    pci_stats: Any = None,
    guest: Guest | None = None,
) -> Solution | None:
    """Return the best seating, or None; change nothing.

    :param guest: what has been read of the guest before.
    """
    if host_topology is None or instance_topology is None:
        return None
    there = read(host_topology, 'cells')
    if not (there and read(instance_topology, 'cells')):
        return None
    guest = guest or Guest(instance_topology)
    wanted = guest.cells
    if len(there) < len(wanted):
        _say(f'the guest has {len(wanted)} NUMA cells, the host {len(there)}')
        return None
    nova_cells = NovaCells(there)
    if WHY.get() is None and not nova_cells.may_hold([*guest.sizes]):
        return None
    pairing = Pairing(
        nova_cells,
        guest,
        limits,
        context.current(),
        pci_requests,
        pci_stats,
    )
    if pairing.blind:
        _say(
            'the L3 domains of its pCPUs are unknown: the kernel shows none, '
            'or some pCPUs are off'
        )
        return None
    quick = pairing.quick()
    if quick:
        return Solution(pairing, quick)
    if quick is not None and WHY.get() is None:
        return None
    all_options = pairing.options()
    judge = _judge(
        pairing, host_topology, provider_mapping, pci_requests, pci_stats
    )
    if judge is None:
        best = pairing.best(all_options)
        if best is not None:
            return Solution(pairing, pairing.choices(all_options, best))
    else:
        for columns in islice(pairing.seatings(all_options), MOST_SETS):
            if judge(columns):
                return Solution(pairing, pairing.choices(all_options, columns))
    if WHY.get() is not None:
        _say(refusal.why(pairing, all_options))
    return None


def _judge(
    pairing: Pairing,
    host_topology: Any,
    provider_mapping: Any,
    pci_requests: Any,
    pci_stats: Any,
) -> Judge | None:
    """Return who judges a set of host cells; None: nobody does."""
    network = pairing.limits_network
    pci = bool(pci_requests and pci_stats)
    if not network and not pci:
        return None

    def judge(columns: Sequence[int]) -> bool:
        chosen = [pairing.cells[column] for column in columns]
        guest_cells = guest_cell.seated(
            pairing.guest_cells, (cell.id for cell in chosen)
        )
        if pci and not pci_stats.support_requests(
            pci_requests, provider_mapping, guest_cells
        ):
            return False
        return not network or bool(
            hardware._numa_cells_support_network_metadata(
                host_topology, chosen, network
            )
        )

    return judge


def pack(host_cell: Any, instance_cell: Any, reserved: int = 0) -> Any:
    """Answer as ``_pack_instance_onto_cores``: the guest cell with its pins
    on one host cell, or None.
    """
    guest = SimpleNamespace(
        cells=[instance_cell], emulator_threads_isolated=reserved > 0
    )
    pairing = Pairing(
        NovaCells([host_cell]), Guest(guest), None, context.current()
    )
    if not guest_cell.threads_allow(host_cell, pairing.guest_cells[0]):
        return None
    (options,) = pairing.options()
    if options.fits[0] is None:
        return None
    options.trust()
    (given,) = pairing.give(pairing.choices([options], [0]))
    return given


def _say(text: str) -> None:
    why = WHY.get()
    if why is not None:
        why.append(text)
