"""What a running guest actually has, as the kernel and QEMU show it. Values
only.

:mod:`kvm_tuning.host.guests.observe` reads it;
:mod:`kvm_tuning.core.audit.compare` compares it with what was promised. What
could not be found out is an :class:`Unknown`, never ``None`` and never a
guess.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import enum


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be found out: never counted as fine."""

    #: One clause for a person: what was tried and what came back.
    why: str
    #: What would be needed: a capability, an option, a kernel; '' where
    #: nothing would help.
    needs: str = ''

    def __str__(self) -> str:
        needs = f' (needs {self.needs})' if self.needs else ''
        return f'{self.why}{needs}'


class Kind(enum.Enum):
    """What a thread of a guest does."""

    VCPU = 'vCPU'
    IOTHREAD = 'iothread'
    VHOST = 'vhost'
    #: The main loop, and what libvirt's emulatorpin holds besides it.
    EMULATOR = 'emulator'
    #: QEMU's pool for blocking I/O: comes and goes.
    WORKER = 'worker'
    #: Never promised: the kernel's own (``kvm-nx-lpage-re``), or QEMU's for
    #: the preallocation of memory.
    OTHER = 'other'
    #: QEMU runs without ``debug-threads``, so the name says nothing.
    UNTOLD = 'untold'


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of a guest, or one that the kernel runs for it."""

    tid: int
    name: str
    kind: Kind
    #: Number of the vCPU or iothread; None where the kind has none, or where
    #: one thread runs all vCPUs (TCG with one thread).
    index: int | None
    #: The pCPUs it may run on.
    cpus: frozenset[int] | Unknown


@dataclass(frozen=True, slots=True)
class Ram:
    """One block of the guest's RAM: one memory backend of QEMU."""

    #: QEMU's name of the backend, such as ``pc.ram`` or ``ram-node0``.
    backend: str
    #: The guest cell whose memory it is; None for a guest without cells.
    cell: int | None
    size_kib: int
    #: Size of the pages that the kernel backs it with (KernelPageSize): a
    #: huge page size only with hugetlbfs, not with transparent huge pages.
    page_kib: int
    #: How much of it is resident, huge pages included.
    resident_kib: int
    #: Transparent huge pages in it (AnonHugePages).
    anon_huge_kib: int
    locked_kib: int
    #: Whether KSM may merge it (VM_MERGEABLE: ``mg`` of VmFlags).
    mergeable: bool | Unknown
    #: Memory policy as numa_maps writes it: ``default``, ``bind:0``,
    #: ``prefer:1``, ``interleave:0-1`` ...
    policy: str | Unknown
    #: How much of it is on which host cell, in KiB.
    nodes_kib: Mapping[int, int] | Unknown


@dataclass(frozen=True, slots=True)
class Ksm:
    """What KSM does with the process (/proc/PID/ksm_stat)."""

    merging_pages: int
    rmap_items: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a guest."""

    ram: tuple[Ram, ...] | Unknown
    ksm: Ksm | Unknown


_UNREAD = Unknown('it was not examined')


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC of the guest and what is behind it."""

    #: Lower case.
    mac: str
    #: QEMU's device, such as ``virtio-net-pci`` or ``e1000``.
    model: str | Unknown
    #: The host's interface: a tap or a macvtap.
    host: str | Unknown
    #: Queue pairs: open descriptors of the tap or macvtap.
    queues: int | Unknown
    #: Open descriptors of /dev/vhost-net that serve it.
    vhost: int | Unknown
    #: Sizes of the receive and transmit rings, in descriptors.
    rx_ring: int | Unknown
    tx_ring: int | Unknown
    #: For a macvtap: its mode in libvirt's words, and the NIC below it.
    mode: str | Unknown = _UNREAD
    lower: str | Unknown = _UNREAD


@dataclass(frozen=True, slots=True)
class Function:
    """A PCI function of the host that a guest has, by VFIO or macvtap."""

    address: str
    #: The host driver that it is bound to; None: none.
    driver: str | None
    #: For a VF: its PF's address and its index there.
    pf: str | None = None
    index: int | None = None
    #: For a VF: what the PF keeps for it: mac, vlan, trust, spoof_check,
    #: max_rate, as far as the PF's driver has them.
    attributes: Mapping[str, str] | Unknown = _UNREAD


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the guest and how QEMU serves it."""

    #: The name in the domain XML, such as ``vda``.
    target: str
    #: QEMU's device, such as ``virtio-blk-pci`` or ``scsi-hd``.
    model: str | Unknown
    #: Whether the image is open with O_DIRECT.
    direct: bool | Unknown
    #: Whether the guest sees a volatile write cache (it must flush).
    write_cache: bool | Unknown
    #: Whether the guest's flushes are ignored (``cache=unsafe``).
    no_flush: bool | Unknown
    #: ``threads``, ``native`` or ``io_uring``.
    engine: str | Unknown
    #: Numbers of the iothreads that serve it, with the queues of each; an
    #: empty mapping: the main loop serves it. No queues listed: all of them.
    iothreads: Mapping[int, tuple[int, ...]] | Unknown
    queues: int | Unknown


@dataclass(frozen=True, slots=True)
class Controller:
    """A SCSI controller of the guest."""

    index: int
    #: QEMU's device, such as ``virtio-scsi-pci``.
    model: str | Unknown
    #: As :class:`Disk` has them.
    iothreads: Mapping[int, tuple[int, ...]] | Unknown
    queues: int | Unknown


@dataclass(frozen=True, slots=True)
class Arguments:
    """QEMU's command line, parsed: what it was *started* with."""

    #: Name of the option without dashes, and its value. A plain first word
    #: (``-smp 4``, ``-cpu host``) is at the key ''.
    options: tuple[tuple[str, Mapping[str, object]], ...] = ()

    def of(self, option: str) -> Iterator[Mapping[str, object]]:
        """Yield the value of each ``-option``."""
        for name, value in self.options:
            if name == option:
                yield value


@dataclass(frozen=True, slots=True)
class Observed:
    """What a running guest actually has."""

    pid: int
    threads: tuple[Thread, ...] | Unknown
    memory: Memory
    #: By MAC, lower case; the NICs of the live XML.
    nics: Mapping[str, Nic] = field(default_factory=dict)
    #: By target; the disks of the live XML.
    disks: Mapping[str, Disk] = field(default_factory=dict)
    #: SCSI controllers by index.
    controllers: Mapping[int, Controller] = field(default_factory=dict)
    arguments: Arguments | Unknown = Arguments()
    #: By PCI address.
    functions: Mapping[str, Function] = field(default_factory=dict)
    #: The host's mode of transparent huge pages.
    transparent_huge_pages: str | Unknown = _UNREAD

    def vf(self, pf: str, index: int) -> Function | None:
        """Return the VF ``index`` of a PF; None: the guest does not
        have it.
        """
        for function in self.functions.values():
            if (function.pf, function.index) == (pf, index):
                return function
        return None
