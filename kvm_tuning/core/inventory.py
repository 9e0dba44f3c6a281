"""What a host has: CPUs and caches, cells and pages, devices. Values only.

:mod:`kvm_tuning.host.inventory.reader` reads it from ``/sys`` and ``/proc``;
tests build it by hand. All CPU numbers are Linux CPU numbers. Absent
information is ``None`` or empty, never guessed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from kvm_tuning.core.memo import Memo

#: The cell of a CPU that the kernel has in none: its node is offline.
NO_CELL = -1


@dataclass(frozen=True, slots=True)
class Cpu:
    """One online pCPU (a hardware thread)."""

    id: int
    #: Its thread siblings, itself included.
    core: frozenset[int]
    #: All online CPUs of its package (socket).
    package: frozenset[int]
    #: All online CPUs that share its L3 cache; None when the kernel shows no
    #: L3 cache for it.
    l3: frozenset[int] | None
    #: NUMA cell; :data:`NO_CELL` where the kernel has it in none.
    cell: int
    #: The kernel's core_id, package id and die id; None where not shown.
    core_id: int | None = None
    package_id: int | None = None
    die_id: int | None = None
    #: Relative capacity of hybrid cores (``cpu_capacity``, or the maximal
    #: frequency in kHz); None where the kernel shows none.
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class PagePool:
    """The huge pages of one size in one cell."""

    size_kib: int
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One NUMA cell. A host without NUMA information is one cell, 0."""

    id: int
    #: Online CPUs; empty for a cell that has only memory.
    cpus: frozenset[int]
    memory_bytes: int
    free_memory_bytes: int
    pages: tuple[PagePool, ...] = ()
    #: SLIT distance to each cell by its id (10 is local).
    distances: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A PCI function. Addresses are ``dddd:bb:dd.f``, lower case."""

    address: str
    vendor: str
    product: str
    pci_class: str
    #: NUMA cell; None when the firmware names none (-1 in sysfs).
    cell: int | None
    driver: str | None
    #: Address of the bridge above it; None on a root bus.
    parent: str | None = None
    #: For a PF: how many VFs it could have and how many it has now.
    total_vfs: int = 0
    vfs: tuple[str, ...] = ()
    #: For a VF: its PF's address and its index there.
    pf: str | None = None
    vf_index: int | None = None
    iommu_group: int | None = None
    #: Network interfaces and block devices on it, by kernel name.
    interfaces: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``vf``, ``pf`` (it could have VFs) or ``function``."""
        if self.pf is not None:
            return 'vf'
        return 'pf' if self.total_vfs else 'function'


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface of the host."""

    name: str
    mac: str
    #: Address of its PCI function; None for a virtual one.
    pci: str | None
    driver: str | None
    cell: int | None
    #: The kernel's kind as far as sysfs shows it: physical, bridge, bond,
    #: vlan, tap, macvtap, virtual.
    kind: str
    speed_mbps: int | None = None
    up: bool = False


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """A whole block device of the host."""

    name: str
    size_bytes: int
    rotational: bool
    scheduler: str | None
    schedulers: tuple[str, ...]
    pci: str | None
    cell: int | None


@dataclass(frozen=True)
class Inventory:
    """Everything about a host. Tuples are sorted by id, name or address."""

    cpus: tuple[Cpu, ...]
    cells: tuple[Cell, ...]
    memory_bytes: int
    page_size_kib: int = 4
    devices: tuple[PciDevice, ...] = ()
    nics: tuple[Nic, ...] = ()
    disks: tuple[BlockDevice, ...] = ()
    #: What could not be read, one sentence each; the rest is as it was read.
    oddities: tuple[str, ...] = ()

    @cached_property
    def memo(self) -> Memo:
        """What others compute from it once and keep with it."""
        return Memo()

    @cached_property
    def cpu(self) -> Mapping[int, Cpu]:
        """The online CPUs by number."""
        return {cpu.id: cpu for cpu in self.cpus}

    @cached_property
    def cell(self) -> Mapping[int, Cell]:
        """The cells by id."""
        return {cell.id: cell for cell in self.cells}

    @cached_property
    def online(self) -> frozenset[int]:
        return frozenset(cpu.id for cpu in self.cpus)

    @cached_property
    def packages(self) -> tuple[frozenset[int], ...]:
        return _distinct([cpu.package for cpu in self.cpus])

    @cached_property
    def cores(self) -> tuple[frozenset[int], ...]:
        return _distinct([cpu.core for cpu in self.cpus])

    @cached_property
    def l3(self) -> tuple[frozenset[int], ...]:
        """The L3 domains; empty when the kernel shows no L3 cache."""
        return _distinct([cpu.l3 for cpu in self.cpus if cpu.l3 is not None])

    @cached_property
    def smt(self) -> bool:
        """Whether any core shows more than one thread."""
        return any(len(core) > 1 for core in self.cores)

    @cached_property
    def device(self) -> Mapping[str, PciDevice]:
        """The PCI functions by address."""
        return {device.address: device for device in self.devices}

    def vfs(
        self, addresses: Iterable[str], interfaces: Iterable[str] = ()
    ) -> frozenset[tuple[str, int]]:
        """Return the VFs at these addresses, or with these interfaces, each
        by its PF's address and its index there.
        """
        wanted, names = frozenset(addresses), frozenset(interfaces)
        return frozenset(
            (device.pf, device.vf_index)
            for device in self.devices
            if device.pf is not None
            and device.vf_index is not None
            and (
                device.address in wanted
                or not names.isdisjoint(device.interfaces)
            )
        )


def _distinct(sets: list[frozenset[int]]) -> tuple[frozenset[int], ...]:
    return tuple(sorted(set(sets), key=sorted))
