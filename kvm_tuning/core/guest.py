"""The facts that a domain states: sizes, cells, pins, disks, NICs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
import re

from lxml import etree

from kvm_tuning.core import cpuset, scaled
from kvm_tuning.core.exceptions import InvalidDocument

# libvirt's interface types that end in a tap or macvtap device of the host.
_TAPPED = frozenset({'bridge', 'network', 'ethernet', 'direct', 'openvswitch'})
# Disk targets, MACs and numbers: they need no quotes in a path.
_NAME = re.compile(r'[\w:.-]{1,64}', re.ASCII)
_VIRTIO = frozenset({
    'virtio', 'virtio-transitional', 'virtio-non-transitional',
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk, CD-ROM or floppy."""

    #: Its name in the guest's XML, such as ``vda``: it never changes.
    target: str
    bus: str
    #: ``disk``, ``cdrom``, ``floppy`` or ``lun``.
    device: str
    #: ``file``, ``block``, ``network`` and so on.
    type: str
    #: Path below ``<source>``; None for a network disk or an empty drive.
    source: str | None
    #: Attributes of ``<driver>``.
    driver: Mapping[str, str] = field(default_factory=dict)
    shareable: bool = False

    @property
    def path(self) -> str:
        """Its address in effects."""
        return f"devices/disk[target/@dev='{self.target}']"


@dataclass(frozen=True, slots=True)
class Interface:
    """A NIC that libvirt creates."""

    mac: str | None
    #: ``bridge``, ``network``, ``ethernet``, ``direct``, ``hostdev`` ...
    type: str
    model: str | None
    #: Attributes of ``<source>`` and ``<driver>``.
    source: Mapping[str, str] = field(default_factory=dict)
    driver: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its address in effects.

        :raises InvalidDocument: it has no MAC to address it by.
        """
        if self.mac is None:
            raise InvalidDocument(
                'a NIC of the domain has no <mac address=...>: define the '
                'domain first (libvirt then adds one), or write one'
            )
        return f"devices/interface[mac/@address='{self.mac}']"


@dataclass(frozen=True, slots=True)
class Controller:
    """A SCSI controller."""

    index: int
    model: str | None

    @property
    def path(self) -> str:
        """Its address in effects."""
        return f"devices/controller[@type='scsi'][@index='{self.index}']"


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
    #: Host cells of ``<numatune><memory nodeset=...>``.
    memory_nodes: frozenset[int] | None = None
    #: Host cells of ``<memnode>`` by guest cell.
    memnodes: Mapping[int, frozenset[int]] = field(default_factory=dict)
    #: pCPUs of ``<vcpu cpuset=...>``, for vCPUs without their own pin.
    cpuset: frozenset[int] | None = None
    #: Attributes of ``<cpu><topology>``.
    cpu_topology: tuple[str, ...] = ()
    #: ``mode`` of ``<cpu>``, such as ``host-passthrough``.
    cpu_mode: str | None = None
    #: Whether Nova created it (it carries Nova's metadata).
    nova: bool = False

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
            ('disk target', [disk.target for disk in self.disks]),
            ('MAC', [nic.mac for nic in self.interfaces if nic.mac]),
            ('SCSI controller', [str(c.index) for c in self.scsi_controllers]),
        ):
            for name in names:
                if not _NAME.fullmatch(name):
                    raise InvalidDocument(
                        f'{what} {name!r} of the domain is not a valid name'
                    )
            if len(set(names)) < len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise InvalidDocument(
                    f'{what} {twice} appears twice in the domain, so a '
                    'setting for one device could hit the other'
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
    def virtio_nics(self) -> tuple[Interface, ...]:
        """Its NICs of model virtio that a tap device of the host serves."""
        return tuple(
            nic
            for nic in self.interfaces
            if nic.type in _TAPPED and nic.model in _VIRTIO
        )


def read(root: etree._Element) -> Guest:
    """Return the facts of a parsed ``<domain>``.

    :raises InvalidDocument: a value that libvirt would not accept either.
    """
    if root.tag != 'domain':
        raise InvalidDocument(f'want a <domain>, found <{root.tag}>')
    part = {child.tag: child for child in reversed(root)}
    system = _first(part.get('os'), 'type')
    cpu = part.get('cpu')
    tune = _by_tag(part.get('cputune'))
    devices = _by_tag(part.get('devices'))
    topology = _first(cpu, 'topology')
    metadata = part.get('metadata')
    vcpu = part.get('vcpu')
    return Guest(
        name=_text(part.get('name')) or '',
        uuid=_text(part.get('uuid')),
        type=root.get('type', ''),
        arch=_get(system, 'arch'),
        machine=_get(system, 'machine'),
        vcpus=1 if vcpu is None else _number(vcpu.text, '<vcpu>'),
        memory_kib=_memory(part.get('memory')),
        disks=tuple(map(_disk, devices.get('disk', ()))),
        interfaces=tuple(map(_interface, devices.get('interface', ()))),
        scsi_controllers=tuple(
            Controller(
                _number(c.get('index', '0'), '<controller index>'),
                c.get('model'),
            )
            for c in devices.get('controller', ())
            if c.get('type') == 'scsi'
        ),
        cells=tuple(_cells(_first(cpu, 'numa'))),
        pins=_pins(tune.get('vcpupin', ()), 'vcpu'),
        emulator_pin=_cpus(tune.get('emulatorpin', [None])[0], 'cpuset'),
        iothread_pins=_pins(tune.get('iothreadpin', ()), 'iothread'),
        iothreads=_iothreads(part.get('iothreads'), part.get('iothreadids')),
        host_devices=_functions(devices, 'hostdev', 'interface'),
        passed_through=_functions(devices, 'hostdev'),
        huge_pages_kib=tuple(
            _scaled(page.get('size'), page.get('unit', 'KiB')) // 1024
            for page in _children(
                _first(part.get('memoryBacking'), 'hugepages'), 'page'
            )
        ),
        memory_nodes=_cpus(_first(part.get('numatune'), 'memory'), 'nodeset'),
        memnodes=_memnodes(part.get('numatune')),
        cpuset=_cpus(vcpu, 'cpuset'),
        cpu_topology=() if topology is None else tuple(_attributes(topology)),
        cpu_mode=_get(cpu, 'mode'),
        nova=metadata is not None and metadata.find('{*}instance') is not None,
    )


def pci_address(element: etree._Element) -> str:
    """Return ``dddd:bb:dd.f`` of a libvirt ``<address>`` of a host device."""
    parts = [
        _number(element.get(key, '0'), f'<address {key}>', 0)
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


def _get(element: etree._Element | None, key: str) -> str | None:
    return None if element is None else element.get(key)


def _number(text: str | None, what: str, base: int = 10) -> int:
    try:
        return int((text or '').strip(), base)
    except ValueError:
        raise InvalidDocument(
            f'{what} of the domain: {text!r} is not a whole number'
        ) from None


def _scaled(text: str | None, unit: str) -> int:
    """Return the bytes of one of libvirt's scaled integers."""
    factor = scaled.factor(unit)
    if factor is None:
        raise InvalidDocument(f'unit {unit!r} in the domain is unknown')
    return _number(text, 'a size') * factor


def _memory(memory: etree._Element | None) -> int:
    if memory is None:
        return 0
    return _scaled(memory.text, memory.get('unit', 'KiB')) // 1024


def _cpus(element: etree._Element | None, key: str) -> frozenset[int] | None:
    text = _get(element, key)
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
        _number(element.get(key), what): _cpus(element, 'cpuset')
        or frozenset()
        for element in elements
    }


def _memnodes(numatune: etree._Element | None) -> dict[int, frozenset[int]]:
    return {
        _number(node.get('cellid'), '<memnode cellid>'): _cpus(node, 'nodeset')
        or frozenset()
        for node in _children(numatune, 'memnode')
    }


def _iothreads(
    count: etree._Element | None, ids: etree._Element | None
) -> int:
    listed = len(_children(ids, 'iothread'))
    text = _text(count)
    return max(listed, _number(text, '<iothreads>') if text else 0)


def _cells(numa: etree._Element | None) -> list[Numa]:
    cells = []
    for index, cell in enumerate(_children(numa, 'cell')):
        memory = _scaled(cell.get('memory', '0'), cell.get('unit', 'KiB'))
        number = _number(cell.get('id', str(index)), '<cell id>')
        cpus = _cpus(cell, 'cpus') or frozenset()
        cells.append(Numa(number, cpus, memory // 1024))
    return cells


def _disk(element: etree._Element) -> Disk:
    part = {child.tag: child for child in reversed(element)}
    target = part.get('target')
    name = _get(target, 'dev')
    if target is None or name is None:
        raise InvalidDocument('a <disk> of the domain has no target')
    source = part.get('source')
    path = None
    if source is not None:
        path = source.get('file') or source.get('dev')
    return Disk(
        target=name,
        bus=target.get('bus', ''),
        device=element.get('device', 'disk'),
        type=element.get('type', 'file'),
        source=path,
        driver=_attributes(part.get('driver')),
        shareable='shareable' in part,
    )


def _interface(element: etree._Element) -> Interface:
    part = {child.tag: child for child in reversed(element)}
    return Interface(
        mac=_get(part.get('mac'), 'address'),
        type=element.get('type', ''),
        model=_get(part.get('model'), 'type'),
        source=_attributes(part.get('source')),
        driver=_attributes(part.get('driver')),
    )


def _attributes(element: etree._Element | None) -> dict[str, str]:
    if element is None:
        return {}
    return {str(key): str(value) for key, value in element.attrib.items()}
