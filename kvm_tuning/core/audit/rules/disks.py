"""How QEMU serves the guest's disks."""

from collections.abc import Callable, Mapping
import re

from kvm_tuning.core import cpuset
from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict, equal
from kvm_tuning.core.drift import ABSENT, PRESENT
from kvm_tuning.core.observed import Controller, Disk, Unknown
from kvm_tuning.core.xml import paths

# What QEMU's cache modes are made of (qemu(1), "-drive cache"): O_DIRECT,
# a write cache that the guest sees, flushes that are ignored.
_CACHE = {
    (True, True, False): 'none',
    (True, False, False): 'directsync',
    (False, True, False): 'writeback',
    (False, False, False): 'writethrough',
    (False, True, True): 'unsafe',
}
#: QEMU's default engine (qemu(1), "-blockdev file,aio").
_DEFAULT_ENGINE = 'threads'
_BUS = {
    'virtio': ('virtio-blk-',),
    'scsi': ('scsi-',),
    'sata': ('ide-',),
    'ide': ('ide-',),
    'usb': ('usb-',),
    'fdc': ('floppy', 'isa-fdc'),
}

_Served = Disk | Controller


def _disk(case: Case) -> Disk | Unknown:
    target = _key(case, 'dev')
    disk = case.observed.disks.get(target or '')
    return disk or Unknown(f'the guest no longer has disk {target}')


def _served(case: Case) -> _Served | Unknown:
    """Return the disk or the SCSI controller at the path."""
    if not case.point.path.startswith('devices/controller'):
        return _disk(case)
    index = case.point.key('index')
    for number, each in case.observed.controllers.items():
        if str(number) == index:
            return each
    return Unknown(f'the guest no longer has SCSI controller {index}')


def _key(case: Case, name: str) -> str | None:
    """Return a key of the device, from the path's second step."""
    for key in paths.steps(case.point.path)[1].keys:
        if key.attribute == name:
            return key.value
    return None


def _cache(case: Case) -> Verdict:
    """The host's side is the kernel's O_DIRECT; the guest's side is QEMU's."""
    disk = _disk(case)
    if isinstance(disk, Unknown):
        return Verdict.unknown(disk)
    if isinstance(disk.direct, Unknown):
        return Verdict.unknown(disk.direct)
    direct = 'O_DIRECT' if disk.direct else 'no O_DIRECT'
    wants_direct = case.wanted in ('none', 'directsync')
    if wants_direct != disk.direct:
        return Verdict(False, direct)
    if isinstance(disk.write_cache, Unknown):
        return Verdict.unknown(disk.write_cache)
    if isinstance(disk.no_flush, Unknown):
        return Verdict.unknown(disk.no_flush)
    mode = _CACHE.get((disk.direct, disk.write_cache, disk.no_flush), 'mixed')
    return Verdict(mode == case.wanted, f'{mode} ({direct})')


def _io(case: Case) -> Verdict:
    disk = _disk(case)
    if isinstance(disk, Unknown):
        return Verdict.unknown(disk)
    if case.wanted == ABSENT:
        return equal(_DEFAULT_ENGINE, disk.engine)
    return equal(case.wanted, disk.engine)


def _iothreads(case: Case) -> Mapping[int, tuple[int, ...]] | Unknown:
    """Return the queues that each iothread of a disk serves."""
    served = _served(case)
    return served if isinstance(served, Unknown) else served.iothreads


def _iothread(case: Case) -> Verdict:
    """Check the ``iothread`` of a driver: one for all queues."""
    served = _iothreads(case)
    if isinstance(served, Unknown):
        return Verdict.unknown(served)
    found = _shown(served)
    if case.wanted == ABSENT:
        # Also promised where <iothreads> below the driver says it instead.
        mapped = len(served) != 1 or any(served.values())
        return Verdict(not served or mapped, found)
    kept = {str(number) for number in served} == {case.wanted}
    return Verdict(kept, found)


def _mapped(case: Case) -> Verdict:
    """Check one iothread of a queue map."""
    served = _iothreads(case)
    if isinstance(served, Unknown):
        return Verdict.unknown(served)
    found = _shown(served)
    steps = paths.steps(case.point.path)
    numbers = [
        key.value
        for step in steps
        if step.tag == 'iothread'
        for key in step.keys
    ]
    if case.wanted == ABSENT and not numbers:
        return Verdict(len(served) < 2, found)
    there = set(numbers) <= {str(n) for n in served}
    return Verdict(there == (case.wanted == PRESENT), found)


def _shown(iothreads: Mapping[int, tuple[int, ...]]) -> str:
    if not iothreads:
        return 'the main loop'
    return 'iothread ' + ', '.join(
        f'{number} (queues {cpuset.format(queues)})' if queues else str(number)
        for number, queues in sorted(iothreads.items())
    )


def _queues(case: Case) -> Verdict:
    served = _served(case)
    if isinstance(served, Unknown):
        return Verdict.unknown(served)
    return equal(case.wanted, served.queues)


def _model(matches: Callable[[str, str], bool]) -> Callable[[Case], Verdict]:
    def check(case: Case) -> Verdict:
        served = _served(case)
        if isinstance(served, Unknown):
            return Verdict.unknown(served)
        if isinstance(served.model, Unknown):
            return Verdict.unknown(served.model)
        return Verdict(matches(case.wanted, served.model), served.model)

    return check


def _on_bus(bus: str, model: str) -> bool:
    return model.startswith(_BUS.get(bus, (bus,)))


def _same_model(wanted: str, model: str) -> bool:
    """libvirt's ``virtio-scsi`` is QEMU's ``virtio-scsi-pci`` or ``-ccw``."""
    return re.match(rf'{re.escape(wanted)}(-|\Z)', model) is not None


_IOTHREAD = Rule(
    _iothread,
    'disk-iothread',
    'the main loop serves the disk along with everything else, or disks '
    'share an iothread',
)
_MAPPED = Rule(
    _mapped, 'disk-iothread', "other iothreads serve the disk's queues"
)
_QUEUES = Rule(
    _queues, 'disk-queues', 'vCPUs contend for fewer queues than promised'
)

RULES: Rules = {
    ('devices/disk/driver', 'cache'): Rule(
        _cache,
        'disk-cache',
        "whether data goes through the host's page cache has changed; a "
        'crash may lose data that the guest expects to keep',
    ),
    ('devices/disk/driver', 'io'): Rule(
        _io, 'disk-io', 'requests take a different path through the kernel'
    ),
    ('devices/disk/driver', 'iothread'): _IOTHREAD,
    ('devices/disk/driver', 'queues'): _QUEUES,
    ('devices/disk/driver/iothreads', ''): _MAPPED,
    ('devices/disk/driver/iothreads/iothread', ''): _MAPPED,
    ('devices/disk/target', 'bus'): Rule(
        _model(_on_bus), 'disk-model', 'the guest has a different disk device'
    ),
    ('devices/controller/driver', 'iothread'): _IOTHREAD,
    ('devices/controller/driver/iothreads', ''): _MAPPED,
    ('devices/controller/driver/iothreads/iothread', ''): _MAPPED,
    ('devices/controller/driver', 'queues'): _QUEUES,
    ('devices/controller', 'model'): Rule(
        _model(_same_model),
        'disk-model',
        'the guest has a different SCSI controller',
    ),
}
