"""Where the vCPUs of a guest may run, and how few places would hold them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvm_tuning.core.assess.guest import Guest
from kvm_tuning.core.inventory import NO_CELL, Inventory
from kvm_tuning.core.observed import Kind, Thread, Unknown


@dataclass(frozen=True)
class Place:
    """The pCPUs of a guest's vCPUs."""

    #: Those of each vCPU, in the order of their numbers.
    vcpus: tuple[frozenset[int], ...]
    pcpus: frozenset[int]
    #: The pCPUs that it is pinned to; empty for one that floats over more
    #: pCPUs than it has vCPUs.
    held: frozenset[int]
    cells: frozenset[int]

    @property
    def fixed(self) -> bool:
        """Whether each vCPU has one pCPU, and no two the same."""
        return all(len(each) == 1 for each in self.vcpus) and len(
            self.pcpus
        ) == len(self.vcpus)


def of(guest: Guest, inventory: Inventory) -> Place | Unknown:
    """Return where the vCPUs of a guest may run."""
    found = _threads(guest)
    if isinstance(found, Unknown):
        return found
    online = inventory.online
    vcpus = []
    for cpus in found:
        if isinstance(cpus, Unknown):
            return cpus
        vcpus.append(cpus & online)
    if not vcpus or not all(vcpus):
        return Unknown('a vCPU has no pCPU that is online')
    pcpus = frozenset[int]().union(*vcpus)
    # One thread runs all vCPUs under TCG with one thread.
    count = max(len(vcpus), guest.setup.vcpus)
    everywhere = len(online) > 1 and pcpus == online
    pinned = all(len(each) == 1 for each in vcpus) or len(pcpus) <= count
    return Place(
        tuple(vcpus),
        pcpus,
        pcpus if pinned and not everywhere else _singles(vcpus),
        frozenset(inventory.cpu[cpu].cell for cpu in pcpus) - {NO_CELL},
    )


def _singles(vcpus: Sequence[frozenset[int]]) -> frozenset[int]:
    return frozenset[int]().union(*(each for each in vcpus if len(each) == 1))


def _threads(
    guest: Guest,
) -> Sequence[frozenset[int] | Unknown] | Unknown:
    if guest.pid is None:
        return _described(guest)
    if isinstance(guest.threads, Unknown):
        return guest.threads
    vcpus = [each for each in guest.threads if each.kind is Kind.VCPU]
    if vcpus:
        return [each.cpus for each in sorted(vcpus, key=_number)]
    # QEMU without debug-threads: any of them may be a vCPU.
    untold = [each for each in guest.threads if each.kind is Kind.UNTOLD]
    alike = {each.cpus for each in untold}
    if len(alike) == 1:
        return [*alike] * guest.setup.vcpus
    return Unknown(
        'which threads are vCPUs is not known',
        'QEMU with -name debug-threads=on',
    )


def _number(thread: Thread) -> int:
    return -1 if thread.index is None else thread.index


def _described(
    guest: Guest,
) -> Sequence[frozenset[int] | Unknown] | Unknown:
    pins = guest.setup.vcpu_pins
    if not pins:
        return Unknown(
            'the document pins no vCPU', "the guest's process in /proc"
        )
    free = Unknown('a vCPU is not pinned', "the guest's process in /proc")
    return [pins.get(number, free) for number in range(guest.setup.vcpus)]


def domains(inventory: Inventory) -> tuple[frozenset[int], ...]:
    """Return the L3 domains, each within its cell; empty when the kernel
    shows no L3 cache.
    """
    return tuple(
        part
        for domain in inventory.l3
        for cell in inventory.cells
        if (part := domain & cell.cpus)
    )


def fewest(
    groups: Iterable[frozenset[int]], place: Place, inventory: Inventory
) -> int:
    """Return how few of ``groups`` would hold the vCPUs of ``place``, in
    cores of their own if that is what they have.
    """
    cores = {inventory.cpu[cpu].core for cpu in place.pcpus}
    apart = place.fixed and len(cores) == len(place.pcpus)
    sizes = sorted(
        (
            len({inventory.cpu[cpu].core for cpu in group})
            if apart
            else len(group)
            for group in groups
        ),
        reverse=True,
    )
    count, held = 0, 0
    for size in sizes:
        if held >= len(place.vcpus):
            break
        held += size
        count += 1
    return count
