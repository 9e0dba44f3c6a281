"""The codes of an assessment: how bad, what changes it, what that costs."""

from collections.abc import Mapping
from dataclasses import dataclass

from kvm_tuning.core.audit.finding import Severity

#: Where the documentation explains the codes, one anchor a code.
PAGE = 'reference/assessments'


@dataclass(frozen=True, slots=True)
class Code:
    """What there is to know about a code before a guest has it."""

    name: str
    severity: Severity
    #: One clause: what it means.
    title: str
    #: Why it costs the guest something.
    why: str
    #: The knob, or the setting, that changes it.
    knob: str
    #: What changing it costs.
    cost: str

    @property
    def page(self) -> str:
        """Its place in the documentation."""
        return f'{PAGE}#{self.name}'


_RESTART = 'a restart of the guest'
_LIVE = 'nothing but free pCPUs: threads move while the guest runs'

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

_ALL = (
    Code(
        'host-not-ready',
        _ERROR,
        'the host does not have what it is configured to have',
        'Guests start as if it had, or are kept from starting.',
        'kvm-tuning host apply',
        'for some settings a restart of the host',
    ),
    Code(
        'pcpu-shared',
        _ERROR,
        'another guest is pinned to the same pCPU',
        'One of the two waits while the other runs, and the scheduler cannot '
        'move either of them away.',
        'hw:cpu_policy=dedicated; kvm-tuning guest repin',
        'as many pCPUs as the guest has vCPUs, for it alone',
    ),
    Code(
        'vcpus-on-one-pcpu',
        _ERROR,
        'several vCPUs of the guest are pinned to one pCPU',
        'They run one after the other; a vCPU that spins on a lock keeps the '
        'one that holds it from running.',
        'hw:cpu_policy=dedicated; kvm-tuning guest repin',
        _LIVE,
    ),
    Code(
        'memory-swapped',
        _ERROR,
        "part of the guest's memory is swapped out",
        'Each access to it waits for a disk.',
        'hw:mem_page_size, or kvm:memory_allocation',
        'memory that no other guest can use; ' + _RESTART,
    ),
    Code(
        'disk-unsafe',
        _ERROR,
        'flushes of the guest are ignored (cache=unsafe)',
        'Data that the guest believes to be stored is lost when the host '
        'fails.',
        'kvm:disk_cache=none',
        'writes take as long as the disk needs; ' + _RESTART,
    ),
    Code(
        'cell-span',
        _WARNING,
        'vCPUs are on more NUMA cells than necessary',
        'Memory and locks of one vCPU are remote to another.',
        'kvm:cpu_locality=numa; kvm-tuning guest repin',
        'a cell with as many free pCPUs and as much free memory',
    ),
    Code(
        'l3-span',
        _WARNING,
        'vCPUs are on more L3 domains than necessary',
        'Lines of memory that several vCPUs use travel between caches.',
        'kvm:cpu_locality=l3; kvm-tuning guest repin',
        'an L3 domain with as many free pCPUs',
    ),
    Code(
        'memory-remote',
        _WARNING,
        'memory is on a cell where no vCPU runs',
        'Each access crosses the link between the cells.',
        'kvm:memory_locality',
        'free memory on the cell of the vCPUs; ' + _RESTART,
    ),
    Code(
        'memory-small-pages',
        _WARNING,
        'most memory is in small pages',
        'The TLB covers little of it, so that more accesses walk the page '
        "tables, the guest's and the host's.",
        'hw:mem_page_size=large, or kvm:transparent_huge_pages',
        'huge pages set aside on the host, or work of the kernel to find '
        'them; ' + _RESTART,
    ),
    Code(
        'memory-merged',
        _INFO,
        'KSM has merged pages of the guest',
        'A merged page is copied at the next write, and may lie on any cell.',
        'kvm:page_sharing=false',
        'the memory that merging saved; ' + _RESTART,
    ),
    Code(
        'memory-locked',
        _INFO,
        'memory of the guest is locked',
        'The host can neither swap, merge nor move it.',
        'hw:locked_memory',
        'the host may swap the guest when memory runs out; ' + _RESTART,
    ),
    Code(
        'vcpus-migrate',
        _WARNING,
        'vCPUs are not pinned, and move between pCPUs',
        'After each move the caches of the new pCPU are cold.',
        'hw:cpu_policy=dedicated',
        'as many pCPUs as the guest has vCPUs, for it alone',
    ),
    Code(
        'vcpus-wait',
        _WARNING,
        'vCPUs wait for a pCPU',
        'The guest sees it as stolen time: it was ready to run, and did not.',
        'hw:cpu_policy=dedicated; fewer vCPUs a pCPU',
        'as many pCPUs as the guest has vCPUs, for it alone',
    ),
    Code(
        'floats-over-pinned',
        _WARNING,
        'unpinned vCPUs may run where other guests are pinned',
        'A guest that was given its pCPUs alone has to share them.',
        '[placement] shared_cpus, or cpu_shared_set of Nova',
        'pCPUs that no guest is pinned to',
    ),
    Code(
        'core-shared',
        _WARNING,
        'another guest is pinned to a thread sibling',
        'The two share the execution units and the L1 and L2 caches of a '
        'core, and what one does can be observed by the other.',
        'hw:cpu_thread_policy=isolate, or whole cores a guest',
        'a thread sibling of each pCPU that stays idle',
    ),
    Code(
        'foreign-threads',
        _WARNING,
        'threads of others used CPU time on pCPUs of the guest',
        'A pinned vCPU cannot move away from them.',
        '[isolation] of the host',
        'pCPUs for the host alone',
    ),
    Code(
        'emulator-on-vcpus',
        _WARNING,
        "emulator threads may run on the vCPUs' pCPUs",
        'A vCPU stops while they run, without the guest knowing.',
        'hw:emulator_threads_policy, kvm:emulator_cpus',
        'a pCPU for them, which guests can share',
    ),
    Code(
        'iothread-on-vcpus',
        _WARNING,
        "iothreads may run on the vCPUs' pCPUs",
        'Each disk request interrupts a vCPU.',
        'kvm:iothread_cpus',
        'a pCPU for them, which guests can share',
    ),
    Code(
        'vhost-on-vcpus',
        _WARNING,
        "vhost threads may run on the vCPUs' pCPUs",
        'Each packet interrupts a vCPU.',
        'kvm:vhost_cpus',
        'a pCPU for them, which guests can share',
    ),
    Code(
        'emulator-remote',
        _WARNING,
        'emulator threads are on a cell without vCPUs of the guest',
        'What they read and write of the guest is remote.',
        'hw:emulator_threads_policy, kvm:emulator_cpus',
        "a pCPU for them on the vCPUs' cell",
    ),
    Code(
        'iothread-remote',
        _WARNING,
        'iothreads are on a cell without vCPUs of the guest',
        'Buffers of each disk request are remote.',
        'kvm:iothread_cpus',
        "a pCPU for them on the vCPUs' cell",
    ),
    Code(
        'vhost-remote',
        _WARNING,
        'vhost threads are on a cell without vCPUs of the guest',
        'Each packet is copied across the link between the cells.',
        'kvm:vhost_cpus',
        "a pCPU for them on the vCPUs' cell",
    ),
    Code(
        'guest-cells-missing',
        _WARNING,
        'the guest is larger than a cell, and sees one',
        'Its kernel does not know which memory is near to which vCPU.',
        'hw:numa_nodes',
        'memory and vCPUs are split between the cells; ' + _RESTART,
    ),
    Code(
        'siblings-hidden',
        _WARNING,
        'vCPUs are on thread siblings, and the guest sees cores',
        'Its scheduler puts two tasks on one core while others are idle.',
        'hw:cpu_policy=dedicated (the topology follows the pins)',
        _RESTART,
    ),
    Code(
        'siblings-invented',
        _WARNING,
        'the guest sees thread siblings that are not',
        'Its scheduler leaves vCPUs idle that have a core of their own.',
        'hw:cpu_policy=dedicated (the topology follows the pins)',
        _RESTART,
    ),
    Code(
        'hint-dedicated-missing',
        _INFO,
        'pCPUs of its own, and the guest is not told',
        'The guest keeps paravirtual spinlocks and TLB flushes that only a '
        'guest with shared pCPUs needs.',
        'kvm:cpu_hint=dedicated',
        _RESTART,
    ),
    Code(
        'hint-dedicated-wrong',
        _WARNING,
        'the guest is told that its pCPUs are its own, and they are not',
        'It spins for locks whose holder does not run.',
        'kvm:cpu_hint',
        _RESTART,
    ),
    Code(
        'iothread-idle',
        _INFO,
        'iothreads that no disk names',
        'They do nothing; the main loop serves the disks.',
        'kvm:iothreads, kvm:disk_iothread_map',
        _RESTART,
    ),
    Code(
        'disk-no-iothread',
        _INFO,
        'disks that the main loop serves',
        'Their requests wait for each other and for the monitor.',
        'kvm:iothreads, kvm:disk_iothread_map',
        'a thread, and a pCPU that it may use; ' + _RESTART,
    ),
    Code(
        'disk-model',
        _WARNING,
        'disks are emulated hardware',
        'A request takes several exits, and there is one at a time.',
        'hw_disk_bus=virtio, or scsi',
        'drivers in the guest; ' + _RESTART,
    ),
    Code(
        'disk-cache',
        _INFO,
        "disks go through the host's page cache",
        'Data is kept twice and copied once more, and other guests lose '
        'memory to it.',
        'kvm:disk_cache=none',
        'no read is served from memory of the host; ' + _RESTART,
    ),
    Code(
        'disk-engine',
        _INFO,
        'disks without the page cache are served by a pool of threads',
        'Each request wakes a thread.',
        'kvm:disk_io=native, or io_uring',
        'native I/O can block on a sparse image; ' + _RESTART,
    ),
    Code(
        'disk-queues',
        _INFO,
        'disks with fewer queues than the guest has vCPUs',
        'vCPUs wait for each other to send a request.',
        'kvm:disk_queues',
        'an interrupt and some memory a queue; ' + _RESTART,
    ),
    Code(
        'nic-model',
        _WARNING,
        'NICs are emulated hardware',
        'Each packet takes several exits.',
        'hw_vif_model=virtio',
        'drivers in the guest; ' + _RESTART,
    ),
    Code(
        'nic-no-vhost',
        _WARNING,
        'QEMU itself forwards the packets of NICs',
        'Each packet wakes the main loop and is copied once more.',
        'kvm:vif_backend=vhost',
        'a thread of the kernel a queue; ' + _RESTART,
    ),
    Code(
        'nic-queues',
        _INFO,
        'NICs with one queue for several vCPUs',
        'One vCPU takes all interrupts.',
        'hw:vif_multiqueue_enabled, kvm:vif_queues',
        'a vhost thread and some memory a queue; ' + _RESTART,
    ),
    Code(
        'nic-queues-unused',
        _INFO,
        'NICs with queues that the guest does not use',
        'Each has a vhost thread, memory and an interrupt for nothing.',
        'kvm:vif_queues; ethtool -L in the guest',
        'nothing',
    ),
    Code(
        'host-merges-across-cells',
        _WARNING,
        'KSM merges pages of different NUMA cells',
        'The one page that is left is remote to the guests of all cells but '
        'one.',
        '[ksm] merge_across_nodes = false, or run = off',
        'memory: fewer pages are equal within a cell',
    ),
    Code(
        'host-no-huge-pages',
        _WARNING,
        'guests cannot have huge pages of any kind',
        'The TLB covers little of their memory.',
        '[transparent_huge_pages] enabled, or [huge_pages]',
        'pages set aside, or work of the kernel to find them',
    ),
    Code(
        'device-remote',
        _WARNING,
        'a passed-through device is on another cell than the vCPUs',
        'Each DMA and each interrupt crosses the link between the cells.',
        'hw:pci_numa_affinity_policy, kvm:vfs',
        'free pCPUs and memory on the cell of the device',
    ),
)

#: All codes by name, the worst first.
CODES: Mapping[str, Code] = {each.name: each for each in _ALL}

#: The place of each code in the ranking.
RANK: Mapping[str, int] = {name: rank for rank, name in enumerate(CODES)}
