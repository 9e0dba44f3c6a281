"""From the configuration to goals: every group, in the order of applying."""

from collections.abc import Iterator
import re
from typing import TYPE_CHECKING, Any

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import fragment
from kvm_tuning.host.prep.goals import Argument, Item, Terms
from kvm_tuning.host.prep.groups import (
    block_scheduler,
    compaction,
    cpu_isolation,
    huge_pages,
    iommu,
    ksm,
    kvm_modules,
    transparent_huge_pages,
)
from kvm_tuning.host.prep.groups.sriov import ports as sriov
from kvm_tuning.host.prep.kinds import kernel_arguments

if TYPE_CHECKING:
    from kvm_tuning.core.site import Policy
    from kvm_tuning.host.prep.journal import Journal

#: Arguments of the kernel of which no other value may linger.
MANAGED = (*cpu_isolation.ARGUMENTS, 'intel_iommu', 'iommu')

_VFS = re.compile(r'([\w.:@-]{1,64})\s*=\s*(\d{1,4})')
_DISK = re.compile(r'([\w.-]{1,64})\s*=\s*([a-z-]{1,32})')


def items(
    conf: Any, host: Host, record: 'Journal | None' = None
) -> list[Item]:
    """Return all that the configuration wants of a host.

    :param record: the journal, where it may be read: it tells which kernel
        arguments are ours and no longer wanted.
    :raises ConfigInvalid: an option cannot be understood.
    :raises InventoryUnreadable: the host cannot be read.
    """
    found = list(_items(conf, host))
    arguments = [item for item in found if isinstance(item, Argument)]
    keys = {argument.key for argument in arguments}
    managed = [key for key in MANAGED if key in keys]
    rest = [item for item in found if not isinstance(item, Argument)]
    return rest + list(
        kernel_arguments.goals(host, arguments, managed, record)
    )


def _items(conf: Any, host: Host) -> Iterator[Item]:
    # Small things first; interrupts last, when all devices have theirs.
    memory = _ksm(conf), _thp(conf), _compaction(conf), _pages(conf)
    if memory[0] != ksm.Wanted():
        yield from ksm.plan(memory[0], ksm.read(host))
    if memory[1] != transparent_huge_pages.Wanted():
        state = transparent_huge_pages.read(host)
        yield from transparent_huge_pages.plan(memory[1], state)
    if memory[2] != compaction.Wanted():
        yield from compaction.plan(memory[2], compaction.read(host))
    if memory[3].pages:
        yield from huge_pages.plan(memory[3], huge_pages.read(host))
    yield from _device_items(conf, host)


def _device_items(conf: Any, host: Host) -> Iterator[Item]:
    modules, group = _modules(conf), conf.iommu
    if modules != kvm_modules.Wanted():
        yield from kvm_modules.plan(modules, kvm_modules.read(host))
    wanted = iommu.Wanted(group.required, group.kernel_arguments)
    if wanted != iommu.Wanted():
        yield from iommu.plan(wanted, iommu.read(host))
    ports = _sriov(conf)
    if ports.vfs:
        yield from sriov.plan(ports, sriov.read(host))
    disks = _disks(conf)
    if disks != block_scheduler.Wanted():
        yield from block_scheduler.plan(disks, block_scheduler.read(host))
    cpus = _isolation(conf)
    if cpus.housekeeping is not None:
        yield from cpu_isolation.plan(cpus, cpu_isolation.read(host))


def terms(conf: Any, host: Host) -> Terms:
    """Return what the configuration allows."""
    autoprobe = {}
    if conf.sriov.drivers_autoprobe is not None and conf.sriov.vfs:
        value = str(int(conf.sriov.drivers_autoprobe))
        state = sriov.read(host)
        for selector in _sriov(conf).vfs:
            for pf in sriov.select(selector, state.pfs):
                autoprobe[pf.device.address] = value
    return Terms(
        allow={sriov.CONCERN: frozenset(conf.sriov.allow)},
        write_timeout=conf.host_prep.write_timeout,
        autoprobe=autoprobe,
    )


def site(conf: Any, host: Host, policy: 'Policy') -> fragment.Site:
    """Return what Nova's configuration is made of."""
    cpus = _isolation(conf)
    pfs = sriov.read(host).pfs
    chosen = [
        pf.device.address
        for selector, count in _sriov(conf).vfs.items()
        for pf in sriov.select(selector, pfs)
        if count
    ]
    arguments = [
        item
        for item in cpu_isolation.plan(cpus, cpu_isolation.read(host))
        if isinstance(item, Argument)
    ]
    return fragment.Site(
        host.inventory,
        cpus.housekeeping,
        policy.dedicated_cpus or frozenset(),
        policy.reserved_pages,
        fragment.wanted_pfs(host.inventory, chosen),
        kernel_arguments.in_force(host.command_line, arguments),
    )


def _ksm(conf: Any) -> ksm.Wanted:
    group = conf.ksm
    return ksm.Wanted(
        None if group.run is None else group.run == 'on',
        group.merge_across_nodes,
        group.stop_ksmtuned,
    )


def _thp(conf: Any) -> transparent_huge_pages.Wanted:
    group = conf.transparent_huge_pages
    khugepaged = group.khugepaged_defrag
    return transparent_huge_pages.Wanted(
        group.enabled,
        group.defrag,
        None if khugepaged is None else str(int(khugepaged)),
    )


def _compaction(conf: Any) -> compaction.Wanted:
    return compaction.Wanted(conf.compaction.proactiveness)


def _pages(conf: Any) -> huge_pages.Wanted:
    from kvm_tuning.core.knobs import Size

    found: dict[tuple[int, int], int] = {}
    for entry in conf.huge_pages.pages or ():
        what = '[huge_pages] pages = ' + ','.join(
            f'{key}:{value}' for key, value in entry.items()
        )
        try:
            size = Size().parse(entry['size'])
            key = int(entry['node']), int(size)
            count = int(entry['count'])
        except (KeyError, ValueError) as error:
            raise ConfigInvalid(
                f'{what[:128]}: want node, size and count, such as '
                f'node:0,size:2048,count:512'
            ) from error
        if count < 0 or len(entry) != 3:
            raise ConfigInvalid(
                f'{what[:128]}: want node, size and a count of 0 or more'
            )
        if found.setdefault(key, count) != count:
            raise ConfigInvalid(
                f'{what[:128]}: there is another one for this cell and size'
            )
    return huge_pages.Wanted(found, conf.huge_pages.kernel_arguments)


def _modules(conf: Any) -> kvm_modules.Wanted:
    group = conf.kvm_modules
    return kvm_modules.Wanted(
        group.vhost_net,
        group.halt_poll_ns,
        group.vhost_zero_copy,
        group.nested_paging,
    )


def _sriov(conf: Any) -> sriov.Wanted:
    found: dict[str, int] = {}
    for text in conf.sriov.vfs or ():
        match = _VFS.fullmatch(text.strip())
        if match is None:
            raise ConfigInvalid(
                f'[sriov] vfs = {text[:64]}: want a port and a number, such '
                f'as enp65s0f0=7, 0000:41:00.0=7 or driver:igb=7'
            )
        count = int(match[2])
        if found.setdefault(match[1], count) != count:
            raise ConfigInvalid(
                f'[sriov] vfs: {match[1]} has two numbers, {found[match[1]]} '
                f'and {count}'
            )
    return sriov.Wanted(found, conf.sriov.method, conf.sriov.reload)


def _disks(conf: Any) -> block_scheduler.Wanted:
    group = conf.block_scheduler
    disks = {}
    for text in group.disk or ():
        match = _DISK.fullmatch(text.strip())
        if match is None:
            raise ConfigInvalid(
                f'[block_scheduler] disk = {text[:64]}: want a disk and a '
                f'scheduler, such as sda=mq-deadline'
            )
        disks[match[1]] = match[2]
    classes = {
        name: value
        for name in block_scheduler.CLASSES
        if (value := group[name]) is not None
    }
    for name, value in {**classes, **disks}.items():
        if block_scheduler.modern(value) not in block_scheduler.NAMES:
            raise ConfigInvalid(
                f'[block_scheduler] {name} = {value[:64]}: want one of '
                f'{", ".join(block_scheduler.NAMES)}'
            )
    return block_scheduler.Wanted(classes, disks)


def _isolation(conf: Any) -> cpu_isolation.Wanted:
    group = conf.cpu_isolation
    if group.housekeeping_cpus is None:
        return cpu_isolation.Wanted()
    try:
        cpus = cpuset.parse(group.housekeeping_cpus)
    except ValueError as error:
        raise ConfigInvalid(
            f'[cpu_isolation] housekeeping_cpus = '
            f'{group.housekeeping_cpus[:64]}: {error}; want a CPU list such '
            f'as 0-3,32-35'
        ) from error
    if not cpus:
        raise ConfigInvalid(
            '[cpu_isolation] housekeeping_cpus is empty: leave it out instead'
        )
    return cpu_isolation.Wanted(
        cpus,
        tuple(group.isolate_by),
        group.systemd_affinity,
        group.irq_affinity,
    )
