"""What is known about one guest that is assessed. Values only.

:mod:`kvm_tuning.core.assess.document` and
:mod:`kvm_tuning.core.assess.command_line` read how it is set up;
:mod:`kvm_tuning.host.guests.placed` reads what the kernel shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvm_tuning.core.observed import Thread, Unknown

UNREAD = Unknown('there is no process of the guest to look at')


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as it is set up."""

    #: Its target, or QEMU's name.
    name: str
    #: ``virtio``, ``scsi``, ``ide``, ``sata``, ``usb`` ...
    bus: str
    #: libvirt's words for the cache mode; '': the default, writeback.
    cache: str
    #: ``threads``, ``native``, ``io_uring``; '': the default, threads.
    engine: str
    #: Whether an iothread serves it.
    iothread: bool
    #: Queues that it was given; None: QEMU's default.
    queues: int | None
    #: Whether QEMU reads and writes a file or device of the host for it.
    local: bool = True
    #: Whether a process outside of QEMU serves it.
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC as it is set up."""

    #: Its MAC, or QEMU's name.
    name: str
    model: str
    virtio: bool
    #: Whether a tap or macvtap of the host serves it.
    tapped: bool
    #: Whether vhost serves it; None: it is not known.
    vhost: bool | None
    queues: int
    #: The host's interface; '' where there is none, or it is not known.
    host: str = ''
    #: Queues that the guest has enabled; None: not known.
    enabled: int | None = None


@dataclass(frozen=True)
class Setup:
    """How a guest is set up: by its live document, or QEMU's arguments."""

    name: str
    uuid: str
    vcpus: int
    memory_kib: int
    #: Whether KVM runs it (not TCG).
    kvm: bool
    #: Threads a core that it sees; None: its makers left it to QEMU (1).
    threads: int | None
    #: NUMA cells that it sees; 0: none.
    cells: int
    #: Whether it is told that its pCPUs are its own.
    hint_dedicated: bool
    #: Names of its iothreads, and those that a disk or controller names.
    iothreads: frozenset[str]
    used_iothreads: frozenset[str]
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    #: PCI addresses of the host's functions that it has.
    functions: tuple[str, ...] = ()
    #: Interfaces of the host below its macvtaps.
    lower_nics: frozenset[str] = frozenset()
    #: Pins of its document, by vCPU and by iothread; empty: none.
    vcpu_pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator_pin: frozenset[int] | None = None
    iothread_pins: Mapping[int, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    """Where the memory of a guest's process is, in KiB."""

    resident_kib: int
    #: In hugetlbfs's pages.
    huge_kib: int
    swapped_kib: int
    locked_kib: int
    #: In transparent huge pages.
    transparent_kib: int | Unknown
    #: By host cell.
    cells_kib: Mapping[int, int] | Unknown


@dataclass(frozen=True, slots=True)
class Activity:
    """What a thread did: between two samples, or since it was started."""

    run_ns: int
    #: Ready to run, and not running (``schedstat``).
    wait_ns: int
    #: Moves between pCPUs; None: not counted.
    moves: int | None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A process of others that used CPU time between two samples."""

    pid: int
    name: str
    #: The pCPU it was last seen on.
    pcpu: int
    #: Of one pCPU's time, in per cent.
    percent: int


@dataclass(frozen=True)
class Guest:
    """One guest: how it is set up, and what the kernel shows of it."""

    setup: Setup
    #: None: only its document is known.
    pid: int | None = None
    threads: tuple[Thread, ...] | Unknown = UNREAD
    memory: Memory | Unknown = UNREAD
    merged_pages: int | Unknown = UNREAD
    #: By thread id.
    activity: Mapping[int, Activity] | Unknown = UNREAD
    #: Why nothing is known about it, if so.
    unseen: Unknown | None = None
    #: Seconds between the samples; 0: since the threads were started.
    seconds: float = 0

    @property
    def key(self) -> str:
        """What identifies it among the guests of a host."""
        return f'{self.setup.uuid} {self.setup.name} {self.pid}'
