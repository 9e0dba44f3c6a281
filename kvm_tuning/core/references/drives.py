"""Addresses of disks on buses that count their places, and controllers."""

from collections.abc import Collection, Iterable, Iterator
import re
from typing import NamedTuple

from lxml import etree

from kvm_tuning.core import whole

#: Models that ``scsi`` as a disk bus means.
VIRTIO_SCSI = frozenset({
    'virtio-scsi', 'virtio-transitional', 'virtio-non-transitional',
})  # fmt: skip

#: Buses whose disks have a drive address.
DRIVE = frozenset({'ide', 'sata', 'scsi', 'fdc'})

_UNITS = {'ide': 2, 'sata': 6, 'scsi': 7, 'fdc': 2}
_BUSES = {'ide': 2}
# PCs have one IDE controller; libvirt adds others of the rest.
_CONTROLLERS = {'ide': 1, 'fdc': 1}
_MOST = 64
_NAME = re.compile(r'(?:fd|hd|sd|vd|xvd|ubd)([a-z]+)', re.ASCII)


class Place(NamedTuple):
    """A drive address on one bus."""

    controller: int
    bus: int
    target: int
    unit: int

    @property
    def attributes(self) -> dict[str, str | None]:
        """Of an ``<address>``."""
        return {
            'type': 'drive',
            **{name: str(number) for name, number in self._asdict().items()},
        }


def scsi_index(controllers: Iterable[tuple[int, str | None]]) -> int:
    """Return the index of the virtio-scsi controller that disks go to: one
    that is there, or else the next free number.

    :param controllers: index and model of each SCSI controller.
    """
    found = sorted(controllers)
    for index, model in found:
        if model in VIRTIO_SCSI:
            return index
    return max((index for index, _model in found), default=-1) + 1


def free(
    root: etree._Element,
    bus: str,
    first: int,
    moving: Collection[etree._Element],
) -> Place | None:
    """Return a free place on ``bus``; None when it is full.

    :param first: the controller to begin with.
    :param moving: disks that have no place on it yet.
    """
    taken = set(_taken(root, bus, moving))
    last = first + _CONTROLLERS.get(bus, _MOST)
    for controller in range(first, last):
        for number in range(_BUSES.get(bus, 1)):
            for unit in range(_UNITS[bus]):
                place = Place(controller, number, 0, unit)
                if place not in taken:
                    return place
    return None


def _taken(
    root: etree._Element, bus: str, moving: Collection[etree._Element]
) -> Iterator[Place]:
    """Yield the places that devices have, or that libvirt gives them."""
    for disk in root.iterfind('devices/disk'):
        target = disk.find('target')
        if target is None or target.get('bus') != bus or disk in moving:
            continue
        address = disk.find('address')
        if address is not None and address.get('type') != 'drive':
            continue
        place = (
            by_name(target.get('dev', ''), bus)
            if address is None
            else _place(address)
        )
        if place is not None:
            yield place
    if bus == 'scsi':
        for address in root.iterfind('devices/hostdev/address'):
            if address.get('type') == 'drive':
                yield _place(address)


def by_name(name: str, bus: str) -> Place | None:
    """Return the place that libvirt gives a disk by the letters of its name
    (virDomainDiskDefAssignAddress); None for a name that it does not take.
    """
    match = _NAME.match(name)
    if match is None:
        return None
    index = 0
    for letter in match[1]:
        index = index * 26 + ord(letter) - ord('a') + 1
    index -= 1
    units, buses = _UNITS[bus], _BUSES.get(bus, 1)
    return Place(
        index // (units * buses), index // units % buses, 0, index % units
    )


def _place(address: etree._Element) -> Place:
    numbers = (address.get(name, '0') for name in Place._fields)
    return Place(*(whole.number(n) or 0 for n in numbers))
