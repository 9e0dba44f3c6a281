"""Observe how QEMU serves the disks of a running guest."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
import os
import re

from lxml import etree

from kvm_tuning.core.observed import Controller, Disk, Unknown
from kvm_tuning.host.guests import qemu_args
from kvm_tuning.host.guests.process import Guest, alias

_IOTHREAD = re.compile(r'(?:\A|/)iothread([0-9]{1,9})\Z')
#: Name of the ring of io_setup(2) among the mappings of a process, and of
#: io_uring among its descriptors.
_AIO_RING = '/[aio]'
_IO_URING = 'anon_inode:[io_uring]'
_THREADS = 'threads'
_DEFAULT_QUEUES = Unknown(
    "QEMU's arguments do not give the queues: the machine type's default"
)

_Served = Mapping[int, tuple[int, ...]] | Unknown


def disks(guest: Guest, root: etree._Element) -> dict[str, Disk]:
    """Return the disks of the live document, by target."""
    found = [_disk(guest, each) for each in root.iterfind('devices/disk')]
    on_scsi = controllers(guest, root)
    scsi = _scsi(root)
    served = {
        d.target: on_scsi[scsi[d.target]]
        for d in found
        if scsi.get(d.target) in on_scsi
    }
    found = [_of_controller(d, served.get(d.target)) for d in found]
    engines = _engines(guest, found)
    return {d.target: _with_engine(d, engines) for d in found}


def controllers(guest: Guest, root: etree._Element) -> dict[int, Controller]:
    """Return the SCSI controllers of the live document, by index."""
    found = {}
    for element in root.iterfind("devices/controller[@type='scsi']"):
        index = _index(element.get('index'))
        name = alias(element)
        queues = guest.number(name, 'num_queues', _DEFAULT_QUEUES)
        found[index] = Controller(
            index,
            guest.model(name),
            _iothreads(guest, name, queues),
            queues,
        )
    return found


def _scsi(root: etree._Element) -> dict[str, int]:
    """Return the controller of each disk on the SCSI bus."""
    found = {}
    for element in root.iterfind('devices/disk'):
        target, address = element.find('target'), element.find('address')
        if target is not None and target.get('bus') == 'scsi':
            index = None if address is None else address.get('controller')
            found[target.get('dev', '')] = _index(index)
    return found


def _index(text: str | None) -> int:
    """Return a controller's number; 0 when the document does not give it."""
    return qemu_args.number(text) or 0


def _disk(guest: Guest, element: etree._Element) -> Disk:
    target = element.find('target')
    name = alias(element)
    write_cache = guest.property(name, 'write-cache')
    queues = guest.number(name, 'num-queues', _DEFAULT_QUEUES)
    return Disk(
        target='' if target is None else target.get('dev', ''),
        model=guest.model(name),
        direct=_direct(guest, element),
        write_cache=_switch('write-cache', write_cache),
        no_flush=_no_flush(guest, name, element),
        engine=_asked_engine(guest, name, element),
        iothreads=_iothreads(guest, name, queues),
        queues=queues,
    )


def _switch(name: str, value: object | Unknown) -> bool | Unknown:
    if isinstance(value, Unknown):
        return value
    found = qemu_args.flag(value)
    if found is None:
        return Unknown(f'QEMU was started without {name} for this device')
    return found


def _direct(guest: Guest, element: etree._Element) -> bool | Unknown:
    """Return whether every descriptor of the image is open with O_DIRECT."""
    if isinstance(guest.links, Unknown):
        return guest.links
    source = element.find('source')
    path = None
    if source is not None:
        path = source.get('file') or source.get('dev')
    if path is None:
        return Unknown('the disk has no file or device to look at')
    names = {path, _real(guest.process.root, path)}
    flags = []
    for number, link in guest.links.items():
        if link.removesuffix(' (deleted)') in names:
            info = guest.fdinfo(number)
            if isinstance(info, Unknown):
                return info
            flags.append(info.get('flags', ''))
    if not flags:
        return Unknown(f'QEMU has no open descriptor of {path}')
    try:
        return all(int(flag, 8) & os.O_DIRECT for flag in flags)
    except ValueError:
        return Unknown(f'the flags of the descriptor of {path} are not shown')


def _real(root: str, path: str) -> str:
    """Return where ``path`` leads: /dev/mapper/x is a link to /dev/dm-0.

    With a recorded /proc there are no such files, and names stay as they are.
    """
    return os.path.realpath(path) if root == '/' else path


def _nodes(guest: Guest, name: str) -> Iterator[qemu_args.Options]:
    """Yield the block nodes below a device, or an old ``-drive``."""
    device = guest.device(name)
    if isinstance(device, Unknown) or isinstance(guest.arguments, Unknown):
        return
    drive = str(device.get('drive'))
    yield from qemu_args.block_nodes(guest.arguments, drive)
    old = qemu_args.by_id(guest.arguments, 'drive', drive)
    if old is not None:
        yield old


def _no_flush(
    guest: Guest, name: str, element: etree._Element
) -> bool | Unknown:
    device = guest.device(name)
    for node in _nodes(guest, name):
        cache = node.get('cache')
        if isinstance(cache, Mapping):
            return cache.get('no-flush') is True
        if isinstance(cache, str):
            return cache == 'unsafe'
    if not isinstance(device, Unknown):
        return Unknown('QEMU was started without a cache mode for this disk')
    # libvirt starts a disk that is plugged later as the document says.
    driver = element.find('driver')
    return driver is not None and driver.get('cache') == 'unsafe'


def _asked_engine(
    guest: Guest, name: str, element: etree._Element
) -> str | Unknown:
    """Return the engine requested of QEMU; ``_engines`` tells whether it is
    in use.
    """
    for node in _nodes(guest, name):
        if 'aio' in node:
            return str(node['aio'])
    if not isinstance(guest.device(name), Unknown):
        return _THREADS
    driver = element.find('driver')
    return _THREADS if driver is None else driver.get('io', _THREADS)


def _engines(guest: Guest, found: list[Disk]) -> Mapping[str, Unknown | None]:
    """Return for each engine why it may not be in use; None: it is in use.

    QEMU falls back to threads and only logs it (its block/file-posix.c).
    Native AIO has one ring for each thread that serves such disks, io_uring
    has a descriptor.
    """
    uring: Unknown | None = None
    if isinstance(guest.links, Unknown):
        uring = guest.links
    elif _IO_URING not in guest.links.values():
        uring = Unknown(
            'QEMU has no io_uring descriptor: it may have fallen back'
        )
    return {
        'io_uring': uring,
        'native': _native(guest, found),
        _THREADS: None,
    }


def _native(guest: Guest, found: list[Disk]) -> Unknown | None:
    asked = [disk.iothreads for disk in found if disk.engine == 'native']
    if not asked:
        return None
    # Of the iothreads in a queue map, only those that had a request have a
    # ring.
    servers = {
        next(iter(served), None)
        for served in asked
        if not isinstance(served, Unknown) and len(served) < 2
    } or {None}
    maps = guest.process.text('maps')
    if isinstance(maps, Unknown):
        return maps
    rings = maps.count(_AIO_RING)
    if rings >= len(servers):
        return None
    return Unknown(
        f'QEMU has {rings} native AIO rings for {len(servers)} threads that '
        f'serve such disks: either a disk has had no request yet, or QEMU '
        f'has fallen back to threads'
    )


def _with_engine(disk: Disk, engines: Mapping[str, Unknown | None]) -> Disk:
    if isinstance(disk.engine, Unknown):
        return disk
    doubt = engines.get(disk.engine)
    return disk if doubt is None else replace(disk, engine=doubt)


def _of_controller(disk: Disk, controller: Controller | None) -> Disk:
    """Give a SCSI disk the iothreads and queues of its controller."""
    if controller is None:
        return disk
    return replace(
        disk, iothreads=controller.iothreads, queues=controller.queues
    )


def _iothreads(guest: Guest, name: str, queues: int | Unknown) -> _Served:
    """Return a device's iothreads: one for all queues, or a queue map."""
    mapped = guest.property(name, 'iothread-vq-mapping')
    if isinstance(mapped, list):
        # A single iothread without a list of queues serves them all.
        count = queues if isinstance(queues, int) else 1
        every = tuple(range(count)) if len(mapped) == 1 else ()
        return {
            number: _vqs(each.get('vqs')) or every
            for each in mapped
            if isinstance(each, Mapping)
            and (number := _number(each.get('iothread'))) is not None
        }
    one = guest.property(name, 'iothread')
    if isinstance(one, Unknown):
        return one
    if not one:
        return {}
    found = _number(one)
    if found is None:
        return Unknown(f'{one} is not a name that libvirt gives an iothread')
    return {found: ()}


def _vqs(queues: object) -> tuple[int, ...]:
    listed = queues if isinstance(queues, list) else []
    return tuple(
        n for each in listed if (n := qemu_args.number(each)) is not None
    )


def _number(name: object) -> int | None:
    match = _IOTHREAD.search(str(name))
    return int(match[1]) if match else None
