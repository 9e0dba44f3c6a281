"""Change what names a thing when a plan changes the thing.

A plan's effects say what becomes of a vCPU count, a guest cell, a disk's bus
or a NIC's model. The names of it elsewhere in the document are changed here,
by the tables of :mod:`~kvm_tuning.core.references.table`, and each change is
a promise of its own: undo takes it back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from kvm_tuning.core import cpuset, whole
from kvm_tuning.core.edit import Editor, Promise, Removal
from kvm_tuning.core.effects import Absent, Effect, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, Unsupported
from kvm_tuning.core.references import drives
from kvm_tuning.core.references.table import (
    BUS_BOUND,
    KEYS,
    MODEL_BOUND,
    REFERENCES,
    Fate,
    Reference,
    Thing,
)
from kvm_tuning.core.xml import implied, paths

_Promises = Iterator[Promise | Removal]
_CELL = 'cpu/numa/cell'
_PAGE = 'memoryBacking/hugepages/page'


@dataclass(frozen=True, slots=True)
class Changes:
    """What a plan changes of the things that are named elsewhere."""

    #: The numbers of before, for each thing that is changed.
    before: Mapping[Thing, frozenset[int]] = field(default_factory=dict)
    #: Paths of disks that go to another bus.
    disks: tuple[str, ...] = ()
    #: The SCSI controllers of before: model by index.
    controllers: Mapping[int, str | None] = field(default_factory=dict)
    #: Paths of NICs whose model becomes one without virtio.
    nics: tuple[str, ...] = ()
    #: Paths of the page sizes that are set.
    pages: tuple[str, ...] = ()


def changes(root: etree._Element, effects: Iterable[Effect]) -> Changes:
    """Return what ``effects``, which are still to come, change."""
    before: dict[Thing, frozenset[int]] = {}
    disks, nics, pages = [], [], []
    for effect in effects:
        if not isinstance(effect, Element | Absent):
            continue
        path = effect.path
        if path == 'vcpu' and _resizes(effect):
            before[Thing.VCPU] = _numbers(root, Thing.VCPU)
        elif path.startswith(_CELL):
            before.setdefault(Thing.CELL, _numbers(root, Thing.CELL))
        elif isinstance(effect, Absent):
            continue
        elif path.startswith('devices/disk') and 'bus' in effect.attributes:
            disks.append(paths.split(path)[0])
        elif path.startswith('devices/interface') and path.endswith('/model'):
            if not is_virtio(effect.attributes.get('type')):
                nics.append(paths.split(path)[0])
        elif path.startswith(_PAGE):
            pages.append(path)
    return Changes(
        before,
        tuple(disks),
        dict(_scsi_controllers(root)) if disks else {},
        tuple(nics),
        tuple(pages),
    )


def follow(editor: Editor, changed: Changes) -> _Promises:
    """Change the names, after the effects have been applied.

    :raises ConflictingKnobs: a device of the guest would lose its place.
    :raises Unsupported: a bus has no free place.
    """
    gone = {
        thing: before - _numbers(editor.root, thing)
        for thing, before in changed.before.items()
    }
    if changed.pages:
        cells = gone.get(Thing.CELL, frozenset())
        yield from _one_page_size(editor, changed.pages, cells)
    for reference in REFERENCES:
        numbers = gone.get(reference.thing)
        if numbers:
            yield from _renamed(editor, reference, numbers)
    if Thing.VCPU in changed.before and editor.root.find('vcpus') is not None:
        # It says of each vCPU whether it is plugged: all of them are.
        yield editor.remove(Absent('vcpus'))
    moving = [paths.find(editor.root, path)[0] for path in changed.disks]
    for path in changed.disks:
        yield from _moved(editor, path, moving, changed.controllers)
    for path in changed.nics:
        yield from _without_virtio(editor, path)


def is_virtio(model: str | None) -> bool:
    """Return whether a NIC model is one of virtio's."""
    return model is not None and model.startswith('virtio')


def _numbers(root: etree._Element, thing: Thing) -> frozenset[int]:
    if thing is Thing.VCPU:
        text = (root.findtext('vcpu') or '1').strip()
        count = whole.number(text)
        return frozenset(range(1 if count is None else count))
    return frozenset(
        int(implied.key(cell, 'id') or 0) for cell in root.iterfind(_CELL)
    )


def _resizes(effect: Element | Absent) -> bool:
    return isinstance(effect, Element) and (
        effect.text is not None or 'current' in effect.attributes
    )


def _renamed(
    editor: Editor, reference: Reference, gone: frozenset[int]
) -> _Promises:
    for element in editor.root.findall(reference.path):
        name = reference.attribute
        text = element.get(name) if name else element.text
        named = _set(text)
        # What is not a set libvirt has to refuse.
        if text is None or named is None or not named & gone:
            continue
        if reference.fate is Fate.REFUSED:
            raise ConflictingKnobs(
                f'{reference.path} of the domain names '
                f'{reference.thing.value} {text.strip()}, which the flavor '
                f'does not have: request as many, or take the device out of '
                f'the domain'
            )
        left = named - gone
        if reference.fate is Fate.SHRINKS and left:
            yield _rewritten(editor, element, name, cpuset.format(left))
        else:
            yield editor.remove(Absent(_path(_outermost(element))))


def _set(text: str | None) -> frozenset[int] | None:
    """Return the numbers of a list; None for what is not one."""
    try:
        return cpuset.parse(text or '')
    except ValueError:
        return None


def _rewritten(
    editor: Editor, element: etree._Element, name: str, value: str
) -> Promise:
    """Change an attribute that is a part of the element's own path."""
    before = editor.rewrite(element, name, value)
    return Promise(_path(element), {name: value}, {name: before})


def _outermost(element: etree._Element) -> etree._Element:
    """Return the element, or the outermost one that holds nothing else: an
    empty ``<hugepages/>`` would mean another thing.
    """
    parent = element.getparent()
    while (
        parent is not None
        and parent.getparent() is not None
        and len(parent) == 1
        and not parent.attrib
    ):
        element, parent = parent, parent.getparent()
    return element


def _path(element: etree._Element) -> str:
    """Return the path of an element, with keys; see :data:`KEYS`."""
    steps = []
    each: etree._Element | None = element
    while each is not None and each.getparent() is not None:
        tag = str(each.tag)
        keys = ''.join(
            f"[@{name}='{each.get(name)}']"
            for name in KEYS.get(tag, ())
            if each.get(name) is not None
        )
        steps.append(tag + keys)
        each = each.getparent()
    return '/'.join(reversed(steps))


def _one_page_size(
    editor: Editor, wanted: tuple[str, ...], gone: frozenset[int]
) -> _Promises:
    """Let a guest cell have pages of one size: other sizes lose the cells
    that those at the paths ``wanted`` get, and those that are ``gone``.
    """
    ours = [paths.find(editor.root, each)[0] for each in wanted]
    cells = gone.union(
        *(_set(page.get('nodeset')) or frozenset() for page in ours)
    )
    for other in editor.root.findall(_PAGE):
        if other in ours:
            continue
        named = _set(other.get('nodeset')) or frozenset()
        left = named - cells
        if not left:
            yield editor.remove(Absent(_path(other)))
        elif left != named:
            yield _rewritten(editor, other, 'nodeset', cpuset.format(left))


def _moved(
    editor: Editor,
    path: str,
    moving: list[etree._Element],
    controllers: Mapping[int, str | None],
) -> _Promises:
    """Give a disk what its new bus takes."""
    root = editor.root
    disk = moving.pop(0)
    target = disk.find('target')
    bus = '' if target is None else target.get('bus', '')
    for below, name, buses in BUS_BOUND:
        if bus not in buses:
            yield from _without(editor, path, below, name)
    address = disk.find('address')
    if bus not in drives.DRIVE:
        if address is not None:
            # libvirt chooses one that fits.
            yield editor.remove(Absent(f'{path}/address'))
        return
    first = 0
    if bus == 'scsi':
        first = drives.scsi_index(controllers.items())
        if first not in controllers:
            yield editor.apply(
                Element(
                    f"devices/controller[@type='scsi'][@index='{first}']",
                    {'model': 'virtio-scsi'},
                )
            )
    place = drives.free(root, bus, first, [disk, *moving])
    if place is None:
        raise Unsupported(
            f'{path} cannot go to the bus {bus}: all its places are taken'
        )
    wanted: dict[str, str | None] = {}
    if address is not None:
        wanted = {str(name): None for name in address.attrib}
    yield editor.apply(Element(f'{path}/address', wanted | place.attributes))


def _scsi_controllers(
    root: etree._Element,
) -> Iterator[tuple[int, str | None]]:
    for each in root.iterfind('devices/controller'):
        index = whole.number(implied.key(each, 'index') or '')
        if each.get('type') == 'scsi' and index is not None:
            yield index, each.get('model')


def _without(editor: Editor, path: str, below: str, name: str) -> _Promises:
    """Take out an attribute, or an element, below a device, if it is there."""
    where = f'{path}/{below}' if below else path
    for element in paths.find(editor.root, where)[:1]:
        if not name:
            yield editor.remove(Absent(where))
        elif element.get(name) is not None:
            yield editor.apply(Element(where, {name: None}))


def _without_virtio(editor: Editor, path: str) -> _Promises:
    """Take out of a NIC what only virtio models have."""
    for below, name in MODEL_BOUND:
        yield from _without(editor, path, below, name)
    address = f'{path}/address'
    for element in paths.find(editor.root, address)[:1]:
        if element.get('type') != 'pci':
            # A virtio transport: libvirt chooses an address that fits.
            yield editor.remove(Absent(address))
