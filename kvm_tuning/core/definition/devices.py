"""The disks, NICs and SCSI controllers in a domain's XML."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from kvm_tuning.core.exceptions import InvalidDocument

# libvirt's interface types that end in a tap or macvtap device of the host.
_TAPPED = frozenset({'bridge', 'network', 'ethernet', 'direct', 'openvswitch'})
# qemuDomainValidateActualNetDef: "multiqueue is not supported" on others.
_QUEUED = _TAPPED | {'vhostuser', 'vdpa'}
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
    #: ``type`` of ``<address>``; None: libvirt chooses one.
    address: str | None = None

    @property
    def path(self) -> str:
        """Its address in effects."""
        return f"devices/disk[target/@dev='{self.target}']"

    @property
    def vhost_user(self) -> bool:
        """Whether a process outside of QEMU serves it."""
        return self.type in ('vhostuser', 'vhostvdpa')

    @property
    def threadable(self) -> bool:
        """Whether libvirt lets it name an iothread of its own: virtio-blk on
        PCI or CCW that QEMU serves (qemuValidateDomainDeviceDefDiskIOThreads
        and what it does at the start).
        """
        return (
            self.bus == 'virtio'
            and not self.vhost_user
            and self.address in (None, 'pci', 'ccw')
        )


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
    #: ``type`` of ``<teaming>``: ``persistent`` or ``transient``. The two
    #: NICs of a pair have one MAC.
    teaming: str | None = None

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
        kind = '' if self.teaming is None else f"[@type='{self.type}']"
        return f"devices/interface{kind}[mac/@address='{self.mac}']"

    @property
    def virtio(self) -> bool:
        """Whether the guest sees a virtio device that QEMU emulates."""
        return self.model in _VIRTIO and self.type != 'hostdev'

    @property
    def tapped(self) -> bool:
        """Whether a tap or macvtap device of the host serves it."""
        return self.type in _TAPPED

    @property
    def queued(self) -> bool:
        """Whether it can have several queues."""
        return self.virtio and self.type in _QUEUED


@dataclass(frozen=True, slots=True)
class Controller:
    """A SCSI controller."""

    index: int
    model: str | None

    @property
    def path(self) -> str:
        """Its address in effects."""
        return f"devices/controller[@type='scsi'][@index='{self.index}']"


def disk(element: etree._Element) -> Disk:
    """Return the disk of its element.

    :raises InvalidDocument: it has no target.
    """
    part = {child.tag: child for child in reversed(element)}
    target = part.get('target')
    name = text_of(target, 'dev')
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
        driver=attributes_of(part.get('driver')),
        shareable='shareable' in part,
        address=text_of(part.get('address'), 'type'),
    )


def interface(element: etree._Element) -> Interface:
    """Return the NIC of its element."""
    part = {child.tag: child for child in reversed(element)}
    return Interface(
        mac=text_of(part.get('mac'), 'address'),
        type=element.get('type', ''),
        model=text_of(part.get('model'), 'type'),
        source=attributes_of(part.get('source')),
        driver=attributes_of(part.get('driver')),
        teaming=text_of(part.get('teaming'), 'type'),
    )


def text_of(element: etree._Element | None, key: str) -> str | None:
    """Return an attribute; None where there is none."""
    return None if element is None else element.get(key)


def attributes_of(element: etree._Element | None) -> dict[str, str]:
    """Return all attributes; none where there is no element."""
    if element is None:
        return {}
    return {str(key): str(value) for key, value in element.attrib.items()}
