"""How large a domain is: what it starts with, and what it can grow to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.xml import scaled


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes in a domain besides its vCPUs and memory."""

    #: ``current`` of ``<vcpu>``: vCPUs that are plugged at the start; None:
    #: all.
    vcpus_current: int | None = None
    #: ``<currentMemory>``; None: all.
    current_memory_kib: int | None = None
    #: ``<maxMemory>``; None: no memory can be plugged.
    max_memory_kib: int | None = None
    #: Memory devices (DIMMs, NVDIMMs, virtio-mem): KiB by guest cell.
    devices_kib: Mapping[int, int] = field(default_factory=dict)
    #: ``placement`` of ``<vcpu>`` and of ``<numatune><memory>``: ``static``
    #: or ``auto``, which is numad's choice.
    vcpu_placement: str | None = None
    memory_placement: str | None = None
    #: Attributes of ``<cpu><topology>``.
    topology: Mapping[str, str] = field(default_factory=dict)
    #: Ids of the iothreads, in order.
    iothread_ids: tuple[int, ...] = ()
    #: Whether it has an IOMMU with extended interrupt mode, which more than
    #: 255 vCPUs of an x86 guest need.
    extended_interrupts: bool = False


def read(part: Mapping[str, etree._Element], iothreads: int) -> Sizes:
    """Return the sizes of a domain.

    :param part: the children of ``<domain>`` by tag.
    :param iothreads: how many it has.
    :raises InvalidDocument: a value that libvirt would not accept either.
    """
    vcpu, numatune = part.get('vcpu'), part.get('numatune')
    devices, cpu = part.get('devices'), part.get('cpu')
    memory = None if numatune is None else numatune.find('memory')
    topology = None if cpu is None else cpu.find('topology')
    current = None if vcpu is None else vcpu.get('current')
    return Sizes(
        vcpus_current=None if current is None else number(current, 'current'),
        current_memory_kib=_kib(part.get('currentMemory')),
        max_memory_kib=_kib(part.get('maxMemory')),
        devices_kib={} if devices is None else _devices(devices),
        vcpu_placement=None if vcpu is None else vcpu.get('placement'),
        memory_placement=None if memory is None else memory.get('placement'),
        topology=(
            {}
            if topology is None
            else {str(k): str(v) for k, v in topology.attrib.items()}
        ),
        iothread_ids=iothread_ids(_listed(part.get('iothreadids')), iothreads),
        extended_interrupts=devices is not None
        and any(
            driver.get('eim') == 'on'
            for driver in devices.iterfind('iommu/driver')
        ),
    )


def iothread_ids(listed: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the ids of ``count`` iothreads: those that are listed, then the
    smallest free ones, as libvirt gives them (formatdomain,
    ``<iothreadids>``).
    """
    found = list(listed)
    candidate = 1
    while len(found) < count:
        if candidate not in found:
            found.append(candidate)
        candidate += 1
    return tuple(found)


def number(text: str | None, what: str, base: int = 10) -> int:
    """Return a whole number of the domain.

    :raises InvalidDocument: it is not one.
    """
    try:
        return int((text or '').strip(), base)
    except ValueError:
        raise InvalidDocument(
            f'{what} of the domain: {text!r} is not a whole number'
        ) from None


def size_bytes(text: str | None, unit: str) -> int:
    """Return the bytes of one of libvirt's scaled integers.

    :raises InvalidDocument: it is not one.
    """
    factor = scaled.factor(unit)
    if factor is None:
        raise InvalidDocument(f'unit {unit!r} in the domain is unknown')
    return number(text, 'a size') * factor


def _kib(element: etree._Element | None) -> int | None:
    if element is None:
        return None
    return size_bytes(element.text, element.get('unit', 'KiB')) // 1024


def _devices(devices: etree._Element) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in devices.iterfind('memory'):
        node = each.findtext('target/node')
        cell = 0 if node is None else number(node, '<node>')
        kib = _kib(each.find('target/size')) or 0
        found[cell] = found.get(cell, 0) + kib
    return found


def _listed(ids: etree._Element | None) -> tuple[int, ...]:
    return tuple(
        number(each.get('id'), '<iothread id>')
        for each in (() if ids is None else ids.iterchildren('iothread'))
    )
