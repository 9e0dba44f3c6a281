"""The facts that a domain states: sizes, cells, pins, disks, NICs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
import re

from lxml import etree

from kvm_tuning.core import (
    cpuset,
)
from kvm_tuning.core.definition import limits, sizes
from kvm_tuning.core.definition.devices import (
    Controller,
    Disk,
    Interface,
    disk,
    interface,
    text_of,
)
from kvm_tuning.core.definition.sizes import Sizes, number, size_bytes
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.xml import implied, pins

__all__ = ['Controller', 'Disk', 'Guest', 'Interface', 'Numa', 'read']

# Disk targets, MACs and numbers: they need no quotes in a path.
_NAME = re.compile(r'[\w:.-]{1,64}', re.ASCII)


@dataclass(frozen=True, slots=True)
class Numa:
    """A guest cell that the domain already has."""

    id: int
    cpus: frozenset[int]
    memory_kib: int


@dataclass(frozen=True)
class Guest:
    """The facts of a domain, read from its XML."""

    name: str
    uuid: str | None
    #: ``kvm`` or ``qemu``.
    type: str
    arch: str | None
    machine: str | None
    vcpus: int
    memory_kib: int
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    scsi_controllers: tuple[Controller, ...] = ()
    cells: tuple[Numa, ...] = ()
    #: ``<vcpupin>`` by vCPU, ``<emulatorpin>``, ``<iothreadpin>`` by number.
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator_pin: frozenset[int] | None = None
    iothread_pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    iothreads: int = 0
    #: Host PCI addresses of ``<hostdev>`` and hostdev interfaces.
    host_devices: tuple[str, ...] = ()
    #: Those of ``<hostdev>`` alone: not NICs of the network.
    passed_through: tuple[str, ...] = ()
    #: Sizes in KiB of the huge pages that it names.
    huge_pages_kib: tuple[int, ...] = ()
    #: Whether huge pages are below its memory.
    huge_pages: bool = False
    #: Host cells of ``<numatune><memory nodeset=...>``.
    memory_nodes: frozenset[int] | None = None
    #: Host cells of ``<memnode>`` by guest cell.
    memnodes: Mapping[int, frozenset[int]] = field(default_factory=dict)
    #: pCPUs of ``<vcpu cpuset=...>``, for vCPUs without their own pin.
    cpuset: frozenset[int] | None = None
    #: What it starts with, and can grow to.
    sizes: Sizes = Sizes()
    #: ``mode`` of ``<cpu>``, such as ``host-passthrough``.
    cpu_mode: str | None = None
    #: Whether Nova created it (it carries Nova's metadata).
    nova: bool = False
    #: Addresses at which it has two elements.
    doubled: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """The name that identifies its claims on the host."""
        return self.uuid or self.name

    def verify(self) -> None:
        """Check that every device can be addressed by a name of its own.

        :raises InvalidDocument: two devices share a name, or one has a name
            that libvirt would not accept.
        """
        for what, names in (
            ('disk target', [each.target for each in self.disks]),
            ('MAC', [_mac(nic) for nic in self.interfaces if nic.mac]),
            ('SCSI controller', [str(c.index) for c in self.scsi_controllers]),
        ):
            for name in names:
                if not _NAME.fullmatch(name.partition(' ')[0]):
                    raise InvalidDocument(
                        f'{what} {name!r} of the domain is not a valid name'
                    )
            if len(set(names)) < len(names):
                twice = Counter(names).most_common(1)[0][0]
                raise InvalidDocument(
                    f'{what} {twice} appears twice in the domain, so a '
                    'setting for one device could hit the other'
                )
        for address in self.doubled:
            raise InvalidDocument(
                f'the domain has two elements {address}: a setting of one '
                f'could hit the other'
            )

    @cached_property
    def direct_nics(self) -> frozenset[str]:
        """The host's NICs below its macvtaps."""
        return frozenset(
            nic.source['dev']
            for nic in self.interfaces
            if nic.type == 'direct' and 'dev' in nic.source
        )

    @cached_property
    def data_disks(self) -> tuple[Disk, ...]:
        """Its disks, without CD-ROM and floppy drives."""
        return tuple(d for d in self.disks if d.device in ('disk', 'lun'))

    @cached_property
    def queued_nics(self) -> tuple[Interface, ...]:
        """Its virtio NICs that can have several queues."""
        return tuple(nic for nic in self.interfaces if nic.queued)

    @cached_property
    def virtio_nics(self) -> tuple[Interface, ...]:
        """Its NICs of model virtio that a tap device of the host serves."""
        return tuple(
            nic for nic in self.interfaces if nic.virtio and nic.tapped
        )


def _mac(nic: Interface) -> str:
    """Return what tells a NIC from others: the two of a pair share a MAC."""
    return f'{nic.mac} {nic.teaming}' if nic.teaming else str(nic.mac)


def read(root: etree._Element) -> Guest:
    """Return the facts of a parsed ``<domain>``.

    :raises InvalidDocument: a value that libvirt would not accept either.
    """
    if root.tag != 'domain':
        raise InvalidDocument(f'want a <domain>, found <{root.tag}>')
    limits.check(root)
    part = {child.tag: child for child in reversed(root)}
    system = _first(part.get('os'), 'type')
    cpu = part.get('cpu')
    tune = _by_tag(part.get('cputune'))
    devices = _by_tag(part.get('devices'))
    iothreads = _iothreads(part.get('iothreads'), part.get('iothreadids'))
    metadata = part.get('metadata')
    vcpu = part.get('vcpu')
    return Guest(
        doubled=tuple(limits.doubled(root)),
        name=_text(part.get('name')) or '',
        uuid=_text(part.get('uuid')),
        type=root.get('type', ''),
        arch=text_of(system, 'arch'),
        machine=text_of(system, 'machine'),
        vcpus=1 if vcpu is None else number(vcpu.text, '<vcpu>'),
        memory_kib=_memory(part.get('memory')),
        disks=tuple(map(disk, devices.get('disk', ()))),
        interfaces=tuple(map(interface, devices.get('interface', ()))),
        scsi_controllers=tuple(
            Controller(
                number(implied.key(c, 'index') or '', '<controller index>'),
                c.get('model'),
            )
            for c in devices.get('controller', ())
            if c.get('type') == 'scsi'
        ),
        cells=tuple(_cells(_first(cpu, 'numa'))),
        pins=_pins(tune.get(pins.VCPU, ()), 'vcpu'),
        emulator_pin=_cpus(tune.get(pins.EMULATOR, [None])[0], 'cpuset'),
        iothread_pins=_pins(tune.get(pins.IOTHREAD, ()), 'iothread'),
        iothreads=iothreads,
        host_devices=_functions(devices, 'hostdev', 'interface'),
        passed_through=_functions(devices, 'hostdev'),
        huge_pages=_first(part.get('memoryBacking'), 'hugepages') is not None,
        huge_pages_kib=tuple(
            size_bytes(page.get('size'), page.get('unit', 'KiB')) // 1024
            for page in _children(
                _first(part.get('memoryBacking'), 'hugepages'), 'page'
            )
        ),
        memory_nodes=_cpus(_first(part.get('numatune'), 'memory'), 'nodeset'),
        memnodes=_memnodes(part.get('numatune')),
        cpuset=_cpus(vcpu, 'cpuset'),
        sizes=sizes.read(part, iothreads),
        cpu_mode=text_of(cpu, 'mode'),
        nova=metadata is not None and metadata.find('{*}instance') is not None,
    )


def pci_address(element: etree._Element) -> str:
    """Return ``dddd:bb:dd.f`` of a libvirt ``<address>`` of a host device."""
    parts = [
        number(element.get(key, '0'), f'<address {key}>', 0)
        for key in ('domain', 'bus', 'slot', 'function')
    ]
    return '{:04x}:{:02x}:{:02x}.{:x}'.format(*parts)


def _functions(
    devices: Mapping[str, Iterable[etree._Element]], *tags: str
) -> tuple[str, ...]:
    return tuple(
        pci_address(address)
        for tag in tags
        for each in devices.get(tag, ())
        if each.get('type') in ('pci', 'hostdev')
        for address in each.iterfind('source/address')
    )


def _by_tag(
    parent: etree._Element | None,
) -> dict[str, list[etree._Element]]:
    found: dict[str, list[etree._Element]] = {}
    for child in () if parent is None else parent:
        found.setdefault(str(child.tag), []).append(child)
    return found


def _first(parent: etree._Element | None, tag: str) -> etree._Element | None:
    return None if parent is None else parent.find(tag)


def _children(parent: etree._Element | None, tag: str) -> list[etree._Element]:
    return [] if parent is None else list(parent.iterchildren(tag))


def _text(element: etree._Element | None) -> str | None:
    return None if element is None else element.text


def _memory(memory: etree._Element | None) -> int:
    if memory is None:
        return 0
    return size_bytes(memory.text, memory.get('unit', 'KiB')) // 1024


def _cpus(element: etree._Element | None, key: str) -> frozenset[int] | None:
    text = text_of(element, key)
    if text is None:
        return None
    try:
        return cpuset.parse(text)
    except ValueError as exc:
        raise InvalidDocument(f'{key}={text!r} of the domain: {exc}') from exc


def _pins(
    elements: Iterable[etree._Element], key: str
) -> dict[int, frozenset[int]]:
    what = f'the {key} of a pin'
    return {
        number(element.get(key), what): _cpus(element, 'cpuset') or frozenset()
        for element in elements
    }


def _memnodes(numatune: etree._Element | None) -> dict[int, frozenset[int]]:
    return {
        number(node.get('cellid'), '<memnode cellid>'): _cpus(node, 'nodeset')
        or frozenset()
        for node in _children(numatune, 'memnode')
    }


def _iothreads(
    count: etree._Element | None, ids: etree._Element | None
) -> int:
    listed = len(_children(ids, 'iothread'))
    text = _text(count)
    return max(listed, number(text, '<iothreads>') if text else 0)


def _cells(numa: etree._Element | None) -> list[Numa]:
    cells = []
    for cell in _children(numa, 'cell'):
        memory = size_bytes(cell.get('memory', '0'), cell.get('unit', 'KiB'))
        cell_id = number(implied.key(cell, 'id') or '', '<cell id>')
        cpus = _cpus(cell, 'cpus') or frozenset()
        cells.append(Numa(cell_id, cpus, memory // 1024))
    return cells
