"""How the disks, NICs and passed-through devices of a guest are served."""

from collections.abc import Iterable, Iterator, Sized

from kvm_tuning.core.assess.case import Case, Unseen, counted, ids, several
from kvm_tuning.core.assess.finding import Finding, Where, found
from kvm_tuning.core.assess.guest import Disk
from kvm_tuning.core.observed import Unknown

#: Buses that QEMU serves by a paravirtual device.
_FAST = frozenset({'virtio', 'scsi'})
#: libvirt's cache modes that open the image with O_DIRECT.
_DIRECT = frozenset({'none', 'directsync'})
#: A disk profits from as many queues as vCPUs up to here: QEMU's own default
#: has no limit, but a disk with more is rarely faster.
_DISK_QUEUES = 4


def idle_iothreads(case: Case) -> Iterator[Finding]:
    """Yield iothreads that no disk or controller names."""
    setup = case.guest.setup
    idle = setup.iothreads - setup.used_iothreads
    if idle:
        yield found(
            'iothread-idle',
            f'{len(idle)} of {counted(len(setup.iothreads), "iothread")} '
            f'without a disk: {several(sorted(idle))}',
        )


def main_loop(case: Case) -> Iterator[Finding]:
    """Yield disks that could have an iothread and have none."""
    disks = _served(case)
    without = [each for each in disks if not each.iothread]
    if without:
        yield found(
            'disk-no-iothread',
            f'{_named(without)} of {counted(len(disks), "disk")} without an '
            f'iothread',
        )


def disk_models(case: Case) -> Iterator[Finding]:
    """Yield disks on emulated hardware."""
    slow = [each for each in case.guest.setup.disks if each.bus not in _FAST]
    if slow:
        buses = ', '.join(sorted({each.bus for each in slow}))
        yield found('disk-model', f'{_named(slow)} on {buses}')


def cache(case: Case) -> Iterator[Finding]:
    """Yield disks whose flushes are ignored, or whose data the host keeps
    in its page cache.
    """
    disks = [each for each in case.guest.setup.disks if each.local]
    unsafe = [each for each in disks if each.cache == 'unsafe']
    if unsafe:
        yield found('disk-unsafe', f'{_named(unsafe)} with cache=unsafe')
    cached = [each for each in disks if each.cache not in {*_DIRECT, 'unsafe'}]
    if cached:
        modes = sorted({each.cache or 'writeback' for each in cached})
        yield found(
            'disk-cache', f'{_named(cached)} with cache={", ".join(modes)}'
        )


def engine(case: Case) -> Iterator[Finding]:
    """Yield disks with O_DIRECT that a pool of threads serves."""
    slow = [
        each
        for each in case.guest.setup.disks
        if each.local
        and each.cache in _DIRECT
        and each.engine in ('', 'threads')
    ]
    if slow:
        yield found('disk-engine', f'{_named(slow)} with io=threads')


def disk_queues(case: Case) -> Iterator[Finding]:
    """Yield disks that were given fewer queues than vCPUs can use."""
    setup = case.guest.setup
    wanted = min(setup.vcpus, _DISK_QUEUES)
    few = [
        each
        for each in setup.disks
        if each.queues is not None and each.queues < wanted
    ]
    if few:
        least = min(each.queues or 0 for each in few)
        yield found(
            'disk-queues',
            f'{_named(few)} with {counted(least, "queue")} for '
            f'{counted(setup.vcpus, "vCPU")}',
        )


def nic_models(case: Case) -> Iterator[Finding]:
    """Yield NICs on emulated hardware."""
    slow = [each for each in case.guest.setup.nics if not each.virtio]
    if slow:
        models = ', '.join(sorted({each.model for each in slow}))
        yield found('nic-model', f'{_count(slow, "NIC")} of {models}')


def vhost(case: Case) -> Iterator[Finding]:
    """Yield virtio NICs whose packets QEMU forwards."""
    slow = [
        each
        for each in case.guest.setup.nics
        if each.virtio and each.tapped and each.vhost is False
    ]
    if slow:
        yield found('nic-no-vhost', f'{_count(slow, "NIC")} without vhost')


def nic_queues(case: Case) -> Iterator[Finding]:
    """Yield NICs with too few queues, or with some that are not used."""
    setup = case.guest.setup
    nics = [each for each in setup.nics if each.virtio and each.tapped]
    single = [each for each in nics if each.queues == 1]
    if single and setup.vcpus > 1:
        yield found(
            'nic-queues',
            f'{_count(single, "NIC")} with 1 queue for '
            f'{counted(setup.vcpus, "vCPU")}',
        )
    for each in nics:
        used = setup.vcpus
        if each.enabled is not None:
            used = min(used, max(each.enabled, 1))
        if each.queues > used:
            yield found(
                'nic-queues-unused',
                f'{each.queues - used} of {counted(each.queues, "queue")} of '
                f'{each.name}',
            )


def cells(case: Case) -> Iterator[Finding]:
    """Yield functions of the host on a cell where no vCPU runs."""
    inventory, setup = case.host.inventory, case.guest.setup
    addresses = [
        *setup.functions,
        *(
            nic.pci
            for nic in inventory.nics
            if nic.name in setup.lower_nics and nic.pci is not None
        ),
    ]
    if not addresses or len(inventory.cells) < 2:
        return
    where = case.place
    away = {
        address: device.cell
        for address in addresses
        if (device := inventory.device.get(address)) is not None
        and device.cell is not None
        and device.cell not in where.cells
    }
    if away:
        yield found(
            'device-remote',
            f'{several(sorted(away))} on '
            f'{ids("NUMA cell", set(away.values()))}, vCPUs on '
            f'{ids("NUMA cell", where.cells)}',
            Where(cells=frozenset(away.values()), devices=frozenset(away)),
        )
    for address in addresses:
        device = inventory.device.get(address)
        if device is None or device.cell is None:
            raise Unseen(Unknown(f'the NUMA cell of {address} is not known'))


def _served(case: Case) -> list[Disk]:
    """Return the disks that an iothread of QEMU could serve."""
    return [
        each
        for each in case.guest.setup.disks
        if each.bus in _FAST and not each.elsewhere
    ]


def _named(disks: Iterable[Disk]) -> str:
    return several(sorted(each.name for each in disks))


def _count(some: Sized, what: str) -> str:
    return counted(len(some), what)
