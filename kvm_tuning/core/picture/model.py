"""What a picture of a host shows. Values only, in the order of drawing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from kvm_tuning.core.inventory import PagePool


@dataclass(frozen=True, slots=True)
class Domain:
    """CPUs of one cell that share an L3 cache."""

    #: Its place among the host's L3 domains; None: the kernel shows none.
    number: int | None
    #: The threads of each core.
    cores: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the host."""

    #: ``PF``, ``GPU``, ``disk`` or ``NIC``.
    kind: str
    #: Its address, or its name where it has none.
    name: str
    #: What else to know: interfaces, VFs, size.
    about: str
    #: PCI addresses of it and of its VFs.
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Cell:
    """One NUMA cell."""

    id: int
    #: Numbers of the packages that its CPUs are in.
    packages: tuple[int, ...]
    memory_bytes: int
    free_bytes: int
    pages: tuple[PagePool, ...]
    domains: tuple[Domain, ...]
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A finding, and where it is."""

    code: str
    severity: str
    evidence: str
    pcpus: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Resident:
    """One guest on the host."""

    #: What identifies it among the guests.
    key: str
    #: A short label: what it is drawn as.
    mark: str
    name: str
    #: The pCPUs of each vCPU; empty: not known.
    vcpus: Mapping[int, frozenset[int]]
    #: Name of each helper thread (emulator, iothread, vhost), and its pCPUs.
    helpers: tuple[tuple[str, frozenset[int]], ...] = ()
    memory_kib: int = 0
    #: Where its memory is, by cell; None: not known.
    cells_kib: Mapping[int, int] | None = None
    #: PCI addresses of the host's functions that it has.
    functions: frozenset[str] = frozenset()
    findings: tuple[Mark, ...] = ()

    @property
    def fixed(self) -> bool:
        """Whether each vCPU has one pCPU."""
        return bool(self.vcpus) and all(
            len(each) == 1 for each in self.vcpus.values()
        )


@dataclass(frozen=True)
class Picture:
    """A host and its guests."""

    cells: tuple[Cell, ...]
    guests: tuple[Resident, ...] = ()
    #: Devices whose cell the firmware does not name.
    elsewhere: tuple[Device, ...] = field(default=())

    @cached_property
    def vcpus(self) -> Mapping[int, tuple[tuple[Resident, int], ...]]:
        """The guest and the vCPU of those that have one pCPU, by it."""
        found: dict[int, list[tuple[Resident, int]]] = {}
        for guest in self.guests:
            for number, pcpus in sorted(guest.vcpus.items()):
                if len(pcpus) == 1:
                    found.setdefault(min(pcpus), []).append((guest, number))
        return {pcpu: tuple(each) for pcpu, each in found.items()}

    @cached_property
    def helpers(self) -> Mapping[int, tuple[tuple[Resident, str], ...]]:
        """The guest and the name of helper threads that stay within an L3
        domain, by pCPU. Others are nowhere in particular.
        """
        found: dict[int, list[tuple[Resident, str]]] = {}
        for guest in self.guests:
            for name, pcpus in guest.helpers:
                if any(pcpus <= each for each in self._small):
                    for pcpu in pcpus:
                        found.setdefault(pcpu, []).append((guest, name))
        return {pcpu: tuple(each) for pcpu, each in found.items()}

    @cached_property
    def _small(self) -> tuple[frozenset[int], ...]:
        every = [
            frozenset(cpu for core in domain.cores for cpu in core)
            for cell in self.cells
            for domain in cell.domains
        ]
        if len(every) > 1:
            return tuple(every)
        # One domain is the whole host: what may run on all of it is not at
        # a place.
        return tuple(
            frozenset(core)
            for cell in self.cells
            for domain in cell.domains
            for core in domain.cores
        )

    @cached_property
    def flagged(self) -> frozenset[int]:
        """The pCPUs that a warning or an error is about."""
        return frozenset(
            pcpu
            for guest in self.guests
            for each in guest.findings
            if each.severity in ('error', 'warning')
            for pcpu in each.pcpus
        )

    def with_guests(self, guests: tuple[Resident, ...]) -> 'Picture':
        """Return the picture of the same host with these guests."""
        return replace(self, guests=guests)

    def placed(
        self,
        key: str,
        name: str,
        vcpus: Mapping[int, frozenset[int]],
        cells_kib: Mapping[int, int] | None,
    ) -> 'Picture':
        """Return the picture after a guest was placed elsewhere, or was
        started. Findings are left out: they were about what was before.

        :param vcpus: its pCPUs by vCPU.
        :param cells_kib: its memory by cell; None: not known.
        """
        guests = [replace(each, findings=()) for each in self.guests]
        at = [n for n, each in enumerate(guests) if each.key == key]
        if at:
            guests[at[0]] = replace(
                guests[at[0]], vcpus=vcpus, helpers=(), cells_kib=cells_kib
            )
        else:
            # No other guest has a mark with a star.
            guests.append(Resident(key, '*', name, vcpus, cells_kib=cells_kib))
        return self.with_guests(tuple(guests))

    def moved(self, pins: Mapping[str, Mapping[int, int]]) -> 'Picture':
        """Return the picture after vCPUs have got other pCPUs.

        Findings are left out: they were about where the vCPUs had been.

        :param pins: the new pCPU by vCPU, of each guest by its key.
        """
        return replace(
            self,
            guests=tuple(
                replace(
                    guest,
                    findings=(),
                    vcpus={
                        **guest.vcpus,
                        **{
                            vcpu: frozenset({pcpu})
                            for vcpu, pcpu in pins.get(guest.key, {}).items()
                        },
                    },
                )
                for guest in self.guests
            ),
        )
