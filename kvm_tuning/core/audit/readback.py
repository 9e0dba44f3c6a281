"""Compare a whole document with what libvirt has stored of it.

libvirt leaves out what it does not know, what names something that is not
there (a pin of a vCPU that the guest does not have) and what it takes as the
default. It adds devices and addresses: an addition changes nothing that the
document says.
"""

from collections.abc import Iterable, Iterator
import copy
from dataclasses import dataclass

from lxml import etree

from kvm_tuning.core import cpuset, drift, edit, receipt
from kvm_tuning.core.xml import implied, pins

# What tells elements of one tag from each other, for messages.
_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    'disk': (('target', 'dev'),),
    'interface': (('mac', 'address'),),
    'controller': (('', 'type'), ('', 'index')),
    pins.VCPU: (('', 'vcpu'),),
    pins.IOTHREAD: (('', 'iothread'),),
    'vcpusched': (('', 'vcpus'),),
    'iothreadsched': (('', 'iothreads'),),
    'cell': (('', 'id'),),
    'memnode': (('', 'cellid'),),
    'sibling': (('', 'id'),),
    'feature': (('', 'name'),),
    'timer': (('', 'name'),),
}
#: libvirt leaves these out when they hold nothing.
_CONTAINERS = frozenset({
    'backend', 'cputune', 'driver', 'iothreadids', 'memoryBacking', 'metadata',
    'numatune',
})  # fmt: skip
#: Elements of a list of threads, which libvirt writes one by one or grouped.
_OF_THREADS = {'vcpusched': 'vcpus', 'iothreadsched': 'iothreads'}


@dataclass(frozen=True, slots=True)
class Alteration:
    """One thing that a document says and libvirt's does not."""

    address: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f'{self.address} (wanted {self.wanted}, found {self.found})'


def altered(
    written: etree._Element, stored: etree._Element
) -> tuple[Alteration, ...]:
    """Return what ``written`` says and ``stored`` does not.

    Both are a ``<domain>``; our own receipt is left out. The order of
    children does not matter, nor how libvirt writes a value.
    """
    return tuple(dict.fromkeys(_children(written, stored, '', '')))


def _children(
    written: etree._Element, stored: etree._Element, path: str, plain: str
) -> Iterator[Alteration]:
    left: dict[str, list[etree._Element]] = {}
    for child in _each(stored):
        left.setdefault(str(child.tag), []).append(child)
    for child in _each(written):
        if isinstance(child.tag, str) and child.tag != receipt.TAG:
            candidates = left.get(child.tag, [])
            yield from _best(child, candidates, path, plain)


def _each(parent: etree._Element) -> Iterator[etree._Element]:
    """Yield the children; one that is of several threads, for each."""
    for child in parent:
        name = _OF_THREADS.get(str(child.tag))
        try:
            numbers = cpuset.parse(child.get(name, '') if name else '')
        except ValueError:
            numbers = frozenset()
        if name is None or len(numbers) < 2:
            yield child
            continue
        for number in sorted(numbers):
            one = copy.copy(child)
            one.set(name, str(number))
            yield one


def _best(
    written: etree._Element,
    candidates: list[etree._Element],
    path: str,
    plain: str,
) -> Iterable[Alteration]:
    """Take the candidate that is most alike, and return where it differs."""
    name = _name(written)
    where = f'{path}{name}'
    best: tuple[Alteration, ...] | None = None
    chosen: etree._Element | None = None
    for candidate in candidates:
        if _name(candidate) != name:
            continue
        found = tuple(
            _differences(written, candidate, where, f'{plain}{written.tag}')
        )
        if best is None or len(found) < len(best):
            best, chosen = found, candidate
        if not found:
            break
    if best is None or chosen is None:
        if written.tag in _CONTAINERS and _says_nothing(
            written, f'{plain}{written.tag}'
        ):
            return ()
        return (Alteration(where, drift.PRESENT, drift.ABSENT),)
    candidates.remove(chosen)
    return best


def _differences(
    written: etree._Element, stored: etree._Element, where: str, plain: str
) -> Iterator[Alteration]:
    units = written.get('unit'), stored.get('unit')
    sized = units[0] is not None
    for key, value in written.attrib.items():
        name = str(key)
        # A unit is part of the size besides it.
        if sized and name == 'unit':
            continue
        found = stored.get(name)
        if not drift.alike((plain, name), str(value), found, units):
            yield Alteration(
                f'{where}/@{name}', str(value), found or drift.ABSENT
            )
    text = written.text or ''
    if text.strip() and not len(written):
        found = stored.text or ''
        if not drift.alike((plain, edit.TEXT), text, found, units):
            yield Alteration(
                where, text.strip(), found.strip() or drift.ABSENT
            )
    yield from _children(written, stored, f'{where}/', f'{plain}/')


def _says_nothing(element: etree._Element, plain: str) -> bool:
    """Return whether libvirt takes all in it for the default."""
    return all(child.tag == receipt.TAG for child in element) and all(
        drift.alike((plain, str(name)), str(value), None, (None, None))
        for name, value in element.attrib.items()
    )


def _name(element: etree._Element) -> str:
    """Return the element's step of a path, with what tells it apart."""
    tag = str(element.tag)
    keys = ''
    for child, attribute in _KEYS.get(tag, ()):
        source = element.find(child) if child else element
        value = None if source is None else implied.key(source, attribute)
        if value is not None:
            address = f'{child}/@{attribute}' if child else f'@{attribute}'
            keys += f"[{address}='{value.lower()}']"
    return tag + keys
