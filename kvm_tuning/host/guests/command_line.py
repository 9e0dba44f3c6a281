"""Read how a guest is set up from QEMU's command line, whoever wrote it."""

from collections.abc import Iterator, Mapping
import os
import re

from kvm_tuning.core.assess.guest import Disk, Nic, Setup
from kvm_tuning.core.observed import Arguments
from kvm_tuning.host.guests import qemu_args
from kvm_tuning.host.guests.memory import kib
from kvm_tuning.host.guests.qemu_args import Options

_PCI = re.compile(
    r'(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\Z', re.IGNORECASE
)
_SCSI_DISKS = ('scsi-hd', 'scsi-block', 'scsi-generic', 'scsi-disk')
#: Buses by the start of a device's name, for disks of a bus of their own.
_DISKS = {
    'virtio-blk': 'virtio',
    'ide-hd': 'ide',
    'ide-drive': 'ide',
    'usb-storage': 'usb',
    'nvme': 'nvme',
    'sd-card': 'sd',
    **dict.fromkeys(_SCSI_DISKS, 'scsi'),
}
#: Buses by ``if`` of a ``-drive`` that no ``-device`` names.
_INTERFACES = {'virtio': 'virtio', 'ide': 'ide', 'scsi': 'scsi', '': 'ide'}
_PLAIN = ('hda', 'hdb', 'hdc', 'hdd')
#: Drivers of block nodes that read a file or device of the host.
_LOCAL = frozenset({'file', 'host_device'})
#: More than a QEMU of today takes: bounds what a wrong number costs.
_MOST_VCPUS = 16384
#: Most nodes below a disk.
_DEEPEST = 16
_HINT = 'kvm-hint-dedicated'


def read(arguments: Arguments) -> Setup:
    """Return how the guest of a QEMU process is set up."""
    used = frozenset(_used(arguments))
    size = next(arguments.of('m'), {})
    return Setup(
        name=_name(arguments),
        uuid=_uuid(arguments),
        vcpus=_vcpus(arguments),
        memory_kib=kib(size.get('size') or size.get(''), '') or 0,
        kvm=_kvm(arguments),
        threads=_threads(arguments),
        cells=sum(
            'node' in (numa.get(''), numa.get('type'))
            for numa in arguments.of('numa')
        ),
        hint_dedicated=_hint(arguments),
        iothreads=frozenset(_iothreads(arguments)) | used,
        used_iothreads=used,
        disks=(*_disks(arguments), *_drives(arguments)),
        nics=(*_nics(arguments), *_short_nics(arguments)),
        functions=tuple(_functions(arguments)),
    )


def machine(arguments: Arguments) -> str:
    """Return the machine type; ``none`` for a QEMU that only answers what it
    can do.
    """
    for option in ('machine', 'M'):
        for value in arguments.of(option):
            name = value.get('type') or value.get('')
            if name:
                return str(name)
    return ''


def _name(arguments: Arguments) -> str:
    for value in arguments.of('name'):
        return str(value.get('guest') or value.get('') or '')
    return ''


def _uuid(arguments: Arguments) -> str:
    for option, key in (('uuid', ''), ('smbios', 'uuid')):
        for value in arguments.of(option):
            if value.get(key):
                return str(value[key]).lower()
    return ''


def _kvm(arguments: Arguments) -> bool:
    named = [
        str(value.get('accel') or value.get(''))
        for option in ('accel', 'machine', 'M')
        for value in arguments.of(option)
    ]
    return any('kvm' in name.split(':') for name in named) or any(
        name == 'enable-kvm' for name, _value in arguments.options
    )


def _smp(arguments: Arguments, key: str) -> int | None:
    found = None
    for value in arguments.of('smp'):
        found = qemu_args.number(value.get(key))
    return found


def _threads(arguments: Arguments) -> int | None:
    return _smp(arguments, 'threads')


def _vcpus(arguments: Arguments) -> int:
    plugged = sum(
        _driver(device).endswith('-cpu') for device in arguments.of('device')
    )
    count = _smp(arguments, 'cpus') or _smp(arguments, '')
    if count is None:
        count = 1
        for key in ('sockets', 'dies', 'clusters', 'cores', 'threads'):
            count *= _smp(arguments, key) or 1
    return min(count + plugged, _MOST_VCPUS)


def _hint(arguments: Arguments) -> bool:
    for cpu in arguments.of('cpu'):
        if f'+{_HINT}' in cpu or qemu_args.flag(cpu.get(_HINT)):
            return True
    return False


def _driver(device: Options) -> str:
    return str(device.get('driver') or device.get('') or '')


def _iothreads(arguments: Arguments) -> Iterator[str]:
    for each in arguments.of('object'):
        if 'iothread' in (each.get('qom-type'), each.get('')):
            yield str(each.get('id'))


def _used(arguments: Arguments) -> Iterator[str]:
    for device in arguments.of('device'):
        yield from _served(device)


def _served(device: Options) -> Iterator[str]:
    """Yield the iothreads that a device names."""
    if device.get('iothread'):
        yield str(device['iothread'])
    mapped = device.get('iothread-vq-mapping')
    for each in mapped if isinstance(mapped, list) else ():
        if isinstance(each, Mapping) and each.get('iothread'):
            yield str(each['iothread'])
    for key, value in device.items():
        # The same as keys and values: iothread-vq-mapping.0.iothread=io1
        if key.startswith('iothread-vq-mapping.') and key.endswith(
            '.iothread'
        ):
            yield str(value)


def _disks(arguments: Arguments) -> Iterator[Disk]:
    for device in arguments.of('device'):
        driver = _driver(device)
        bus = next(
            (bus for name, bus in _DISKS.items() if driver.startswith(name)),
            None,
        )
        if bus is None or 'drive' not in device:
            continue
        server: Options = device
        if bus == 'scsi':
            bus, server = _scsi(arguments, device)
        drive = str(device['drive'])
        cache, engine, local = _image(arguments, device, drive)
        yield Disk(
            name=str(device.get('id') or drive),
            bus=bus,
            cache=cache,
            engine=engine,
            iothread=any(_served(server)),
            queues=qemu_args.number(
                server.get('num-queues', server.get('num_queues'))
            ),
            local=local,
        )


def _scsi(arguments: Arguments, device: Options) -> tuple[str, Options]:
    """Return the bus of a SCSI disk, and its controller."""
    name = str(device.get('bus', '')).partition('.')[0]
    for controller in arguments.of('device'):
        driver = _driver(controller)
        # Without a bus, QEMU takes the first that there is.
        named = controller.get('id') == name
        if named or (not name and driver.startswith('virtio-scsi')):
            if driver.startswith('virtio-scsi'):
                return 'scsi', controller
            return driver or 'scsi', controller
    return 'scsi', {}


def _image(
    arguments: Arguments, device: Options, drive: str
) -> tuple[str, str, bool]:
    """Return cache mode, engine, and whether the image is of this host."""
    old = qemu_args.by_id(arguments, 'drive', drive)
    if old is not None:
        return _old(old)
    cache, engine, local = '', '', False
    for node in _nodes(arguments, drive):
        options = node.get('cache')
        if isinstance(options, Mapping):
            cache = _mode(
                options.get('direct'), options.get('no-flush'), device
            )
        engine = str(node.get('aio', engine))
        local = local or str(node.get('driver')) in _LOCAL
    return cache, engine, local


def _nodes(arguments: Arguments, name: str) -> Iterator[Options]:
    """Yield the block node ``name`` and those below it, nested or named."""
    nodes = {str(v.get('node-name')): v for v in arguments.of('blockdev')}
    node: object = nodes.get(name)
    for _ in range(_DEEPEST):
        if not isinstance(node, Mapping):
            return
        yield node
        below = node.get('file')
        node = below if isinstance(below, Mapping) else nodes.get(str(below))


def _mode(direct: object, no_flush: object, device: Options) -> str:
    """Return libvirt's word for a cache mode (qemu(1), "cache=")."""
    writes_back = qemu_args.flag(device.get('write-cache')) is not False
    if qemu_args.flag(no_flush):
        return 'unsafe'
    if qemu_args.flag(direct):
        return 'none' if writes_back else 'directsync'
    return 'writeback' if writes_back else 'writethrough'


def _old(drive: Options) -> tuple[str, str, bool]:
    """Return the same as :func:`_image` of a ``-drive``."""
    cache = str(drive.get('cache', ''))
    if 'cache.direct' in drive or 'cache.no-flush' in drive:
        cache = _mode(
            drive.get('cache.direct'), drive.get('cache.no-flush'), {}
        )
    path = str(drive.get('file', ''))
    remote = re.match(r'[a-z+]{2,}:', path) and not path.startswith('file:')
    return cache, str(drive.get('aio', '')), not remote


def _drives(arguments: Arguments) -> Iterator[Disk]:
    """Yield disks that are given by a ``-drive`` or ``-hda`` alone."""
    named = {str(each.get('drive')) for each in arguments.of('device')}
    for number, drive in enumerate(arguments.of('drive')):
        bus = _INTERFACES.get(str(drive.get('if', '')))
        if (
            bus is None
            or drive.get('media') == 'cdrom'
            or str(drive.get('id')) in named
        ):
            continue
        cache, engine, local = _old(drive)
        name = str(drive.get('id') or f'drive{number}')
        yield Disk(name, bus, cache, engine, False, None, local)
    for option in _PLAIN:
        for _value in arguments.of(option):
            yield Disk(option, 'ide', '', '', False, None)


def _nics(arguments: Arguments) -> Iterator[Nic]:
    for device in arguments.of('device'):
        if 'netdev' not in device:
            continue
        driver = _driver(device)
        netdev = qemu_args.by_id(arguments, 'netdev', str(device['netdev']))
        name = str(device.get('mac') or device.get('id') or driver).lower()
        yield _nic(name, driver, netdev or {})


def _short_nics(arguments: Arguments) -> Iterator[Nic]:
    """Yield NICs of ``-nic``, which is device and netdev in one."""
    for number, value in enumerate(arguments.of('nic')):
        model = str(value.get('model', ''))
        if value.get('') != 'none':
            name = str(value.get('mac') or f'nic{number}').lower()
            yield _nic(name, model or 'e1000', value)


def _nic(name: str, model: str, netdev: Options) -> Nic:
    kind = str(netdev.get('type') or netdev.get(''))
    tapped = kind in ('tap', 'bridge')
    vhost = bool(
        qemu_args.flag(netdev.get('vhost'))
        or netdev.get('vhostfd')
        or netdev.get('vhostfds')
    )
    fds = str(netdev.get('fds') or '')
    queues = qemu_args.number(netdev.get('queues')) or 1
    return Nic(
        name=name,
        model=model,
        virtio=model.startswith('virtio'),
        tapped=tapped,
        vhost=vhost if tapped else None,
        queues=len(fds.split(':')) if fds else queues,
        host=str(netdev.get('ifname') or ''),
    )


def _functions(arguments: Arguments) -> Iterator[str]:
    """Yield the PCI addresses of what VFIO passes through."""
    for device in arguments.of('device'):
        if not _driver(device).startswith('vfio-pci'):
            continue
        text = str(device.get('host') or device.get('sysfsdev') or '')
        match = _PCI.match(os.path.basename(text))
        if match:
            yield f'{match[1] or "0000"}:{match[2]}'.lower()
