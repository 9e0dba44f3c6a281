"""Find where a domain's document no longer matches what was promised.

libvirt rewrites what it stores: ``0,1`` becomes ``0-1``, ``2 MiB`` becomes
``2048 KiB``, a MAC address becomes lower case, ``queues='1'`` of a NIC is left
out, and a live document has a versioned machine type. None of that is drift.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import re

from lxml import etree

from kvm_tuning.core import cpuset
from kvm_tuning.core.edit import TEXT, Promise, Removal
from kvm_tuning.core.xml import paths, scaled

#: What stands for the value of an element that is itself the promise.
PRESENT = 'present'
ABSENT = 'absent'

_CPUS = frozenset({'cpuset', 'nodeset', 'cpus'})
_SWITCH = {'yes': True, 'on': True, 'no': False, 'off': False}
_NUMBER = re.compile(r'\A(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,18})\Z')
_DECIMAL = re.compile(r'\A[0-9]{1,18}\Z')
#: Attributes whose unit is in the attribute ``unit`` of the same element.
_SIZED = frozenset({'size', 'memory', TEXT})
# Promised values that libvirt's virDomainNetDefParseXML takes for the default
# and leaves out: "There's always at least one TX/RX queue."
_LEFT_OUT = {('devices/interface/driver', 'queues'): '1'}
# Where only the live document differs: libvirt resolves host-model to the
# model it found, and the balloon moves currentMemory.
_RESOLVED_LIVE = {('cpu', 'mode'): frozenset({'host-model'})}
_MOVES_LIVE = frozenset({'currentMemory'})
# libvirt gives every device an address of its own when it is defined.
_REMADE = frozenset({'devices/disk/address', 'devices/interface/address'})


@dataclass(frozen=True, slots=True)
class Point:
    """One address of a receipt, and what the document has there."""

    #: The element's path with its keys.
    path: str
    #: Attribute, TEXT, or '' for the element itself.
    name: str
    wanted: str
    #: What the document says; ABSENT for nothing.
    found: str
    #: Whether libvirt treats the two as equal.
    same: bool
    #: The element in the document.
    element: etree._Element | None

    @property
    def address(self) -> str:
        """Its name in findings."""
        if self.name in ('', TEXT):
            return self.path
        return f'{self.path}/@{self.name}'

    @property
    def pattern(self) -> tuple[str, str]:
        """The path without keys, and the attribute."""
        return plain(self.path), self.name

    def key(self, name: str) -> str | None:
        """Return the value that the path's last key named ``name``
        requires.
        """
        for step in reversed(paths.steps(self.path)):
            for key in step.keys:
                if key.attribute == name:
                    return key.value
        return None


def plain(path: str) -> str:
    """Return ``path`` without its keys."""
    return '/'.join(step.tag for step in paths.steps(path))


def kib(text: str) -> int | None:
    """Return the KiB of a size as a :class:`Point` shows it, ``2 GiB``; None
    for anything else.
    """
    number, _space, unit = text.partition(' ')
    factor = scaled.factor(unit or 'KiB')
    if factor is None or not _DECIMAL.match(number):
        return None
    return int(number) * factor // 1024


def points(
    root: etree._Element, promise: Promise | Removal, live: bool
) -> Iterator[Point]:
    """Yield every address of ``promise``, compared with the document.

    ``live``: it is the live document of a running guest.
    """
    elements = find(root, promise.path)
    element = elements[0] if elements else None
    if isinstance(promise, Removal):
        gone = element is None or plain(promise.path) in _REMADE
        found = ABSENT if element is None else PRESENT
        yield Point(promise.path, '', ABSENT, found, gone, element)
        return
    # A unit is part of the size next to it, or in the path.
    sized = _SIZED & set(promise.wanted) or _SIZED & _keys(promise.path)
    names = [n for n in promise.wanted if not (sized and n == 'unit')]
    if not names:
        found = ABSENT if element is None else PRESENT
        same = element is not None
        yield Point(promise.path, '', PRESENT, found, same, element)
    for name in names:
        yield _point(promise, name, element, live)


def alike(
    where: tuple[str, str],
    wanted: str,
    found: str | None,
    units: tuple[str | None, str | None],
) -> bool:
    """Return whether libvirt means the same by two values of a definition.

    :param where: the path without keys, and the attribute or TEXT.
    :param found: None for nothing.
    :param units: the ``unit`` besides each value.
    """
    if found is None:
        return wanted == _LEFT_OUT.get(where)
    name = where[1]
    return _normal(name, wanted, units[0]) == _normal(name, found, units[1])


def _keys(path: str) -> set[str]:
    return {key.attribute for key in paths.steps(path)[-1].keys}


def find(root: etree._Element, path: str) -> list[etree._Element]:
    """Return every element at ``path``, however libvirt spells its keys."""
    elements = [root]
    for step in paths.steps(path):
        elements = [
            child
            for parent in elements
            for child in parent.iterchildren(step.tag)
            if all(_has(child, step.tag, key) for key in step.keys)
        ]
    return elements


def _has(element: etree._Element, tag: str, key: paths.Key) -> bool:
    found = paths.value(element, key)
    if found is None:
        return False
    unit = element.get('unit') if key.child is None else None
    return _normal(key.attribute, key.value, None) == _normal(
        key.attribute, found, unit
    )


def _point(
    promise: Promise,
    name: str,
    element: etree._Element | None,
    live: bool,
) -> Point:
    wanted = promise.wanted[name]
    found = None
    if element is not None:
        found = element.text if name == TEXT else element.get(name)
    unit = None if element is None else element.get('unit')
    same = _same(promise, name, wanted, found, unit)
    where = plain(promise.path), name
    if found is None and wanted == _LEFT_OUT.get(where):
        same = True
    elif live and element is not None:
        same = (
            same
            or where[0] in _MOVES_LIVE
            or wanted in _RESOLVED_LIVE.get(where, ())
            or (where == ('os/type', 'machine') and _versioned(wanted, found))
        )
    sized = name in _SIZED
    return Point(
        promise.path,
        name,
        _shown(wanted, promise.wanted.get('unit') if sized else None),
        _shown(found, unit if sized else None),
        same,
        element,
    )


def _same(
    promise: Promise,
    name: str,
    wanted: str | None,
    found: str | None,
    unit: str | None,
) -> bool:
    if wanted is None or found is None:
        return wanted == found
    return _normal(name, wanted, _unit(promise.wanted)) == _normal(
        name, found, unit
    )


def _unit(wanted: Mapping[str, str | None]) -> str | None:
    return wanted.get('unit')


def _normal(name: str, text: str, unit: str | None) -> object:
    """Return ``text`` normalised, so that equal meanings compare equal."""
    text = text.strip()
    if name in _CPUS:
        try:
            return cpuset.parse(text)
        except ValueError:
            return text
    if name in _SIZED and _DECIMAL.match(text):
        # libvirt's default unit is KiB. A text without one may be a plain
        # number, such as <iothreads>: the factor is the same on both sides.
        return int(text) * (scaled.factor(unit or 'KiB') or 1)
    if text in _SWITCH:
        return _SWITCH[text]
    if _NUMBER.match(text):
        return int(text, 16 if text.startswith('0x') else 10)
    return text.lower() if name == 'address' else text


def _shown(text: str | None, unit: str | None) -> str:
    if text is None:
        return ABSENT
    return f'{text.strip()} {unit}' if unit else text.strip()


def _versioned(wanted: str | None, found: str | None) -> bool:
    """Return whether ``found`` is a version of the machine ``wanted``:
    QEMU's ``q35`` is ``pc-q35-7.2``, ``pc`` is ``pc-i440fx-7.2``.
    """
    if not wanted or not found:
        return False
    alias = {'pc': 'pc-i440fx', 'q35': 'pc-q35'}.get(wanted, wanted)
    return found.startswith(f'{alias}-')
