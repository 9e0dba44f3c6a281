"""Change a domain's XML in place, and undo every change exactly.

Each change gives a :class:`Promise`: what was wanted and what was there
before. Undoing promises in reverse order restores the original bytes,
including the indentation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.xml import paths, tree
from kvm_tuning.core.xml.tree import Removed

#: Stands for an element's text among its attributes.
TEXT = '#text'

_Children = dict[str | None, etree._Element]


@dataclass(frozen=True, slots=True)
class Promise:
    """One kept effect and what it replaced."""

    path: str
    #: By attribute, or TEXT; None: must be absent, or was absent.
    wanted: Mapping[str, str | None]
    found: Mapping[str, str | None]
    #: How many of the path's last steps were created for it.
    made: int = 0
    #: The attributes' previous order, where removing one lost it.
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """One kept absence: the elements that were taken out."""

    path: str
    removed: tuple[Removed, ...] = ()
    #: How many of the path's steps above the last hold nothing since.
    emptied: int = 0


@dataclass(slots=True)
class Editor:
    """Edits one document. Its index lives as long as it does."""

    root: etree._Element
    #: Children by parent and tag, then by what distinguishes them.
    _index: dict[
        tuple[etree._Element, str], dict[tuple[str | None, str], _Children]
    ] = field(default_factory=dict)

    #: Elements by their path.
    _known: dict[str, etree._Element] = field(default_factory=dict)

    def apply(self, effect: Element) -> Promise:
        """Make ``effect`` hold.

        :raises InvalidDocument: the path leads through a device that the
            domain does not have; only elements that their own attributes
            identify are created.
        """
        element, made = self._reach(effect.path, effect.make)
        wanted = effect.attributes
        found: dict[str, str | None] = {}
        order: tuple[str, ...] = ()
        for name, value in wanted.items():
            before = found[name] = element.get(name)
            if value == before:
                continue
            if value is not None:
                element.set(name, value)
            else:
                order = order or tuple(str(k) for k in element.attrib)
                del element.attrib[name]
        if effect.text is not None:
            wanted = {**wanted, TEXT: effect.text}
            found[TEXT] = element.text
            element.text = effect.text
        return Promise(effect.path, wanted, found, made, order)

    def remove(self, effect: Absent) -> Removal:
        """Take out every element at the path, below the first parent that
        :meth:`apply` would reach.
        """
        taken = []
        for element in self._all(effect.path):
            taken.append(tree.removed(element))
            self._cut(element)
        emptied = _emptied(self._above(effect.path)) if taken else 0
        return Removal(effect.path, tuple(taken), emptied)

    def rewrite(
        self, element: etree._Element, name: str, value: str
    ) -> str | None:
        """Change an attribute by which the element is found, and return what
        it was.
        """
        before = element.get(name)
        element.set(name, value)
        self._index.clear()
        self._known.clear()
        return before

    def take_back(self, promises: Iterable[Promise | Removal]) -> list[str]:
        """Restore what ``promises``, in the order in which they were made,
        replaced.

        What somebody else has changed since is left alone; its addresses are
        returned.
        """
        foreign: list[str] = []
        for promise in reversed(list(promises)):
            if isinstance(promise, Removal):
                foreign += self._put_back(promise)
            else:
                foreign += self._restore(promise)
        return foreign[::-1]

    def _restore(self, promise: Promise) -> list[str]:
        element = self._present(promise.path)
        if element is None:
            return [promise.path]
        foreign = []
        for name, wanted in promise.wanted.items():
            is_text = name == TEXT
            now = element.text if is_text else element.get(name)
            before = promise.found.get(name)
            if now == before:
                continue
            if now != wanted:
                foreign.append(f'{promise.path}/{name}')
            elif is_text:
                element.text = before
            elif before is None:
                del element.attrib[name]
            else:
                element.set(name, before)
        if promise.order:
            _reorder(element, promise.order)
        self._unmake(element, promise)
        return foreign

    def _unmake(self, element: etree._Element, promise: Promise) -> None:
        steps = paths.steps(promise.path)
        for step in steps[len(steps) - promise.made :][::-1]:
            # A device that we created goes, with all that libvirt added to it.
            device = tree.parent_of(element).tag == 'devices'
            if not device and not _only_keys(element, step):
                return
            if element.text and element.text.strip():
                return
            parent = tree.parent_of(element)
            self._cut(element)
            element = parent

    def _put_back(self, removal: Removal) -> list[str]:
        if not removal.removed:
            return []
        parent = self._above(removal.path)
        if parent is None and removal.emptied:
            # libvirt drops what holds nothing.
            parent, _made = self._reach(paths.split(removal.path)[0], False)
        present = self._all(removal.path)
        if parent is None or (present and not _libvirts(removal.path)):
            return [removal.path]
        for element in present:
            self._cut(element)
        for each in reversed(removal.removed):
            self._changed(parent, tree.insert(parent, each))
        return []

    def _all(self, path: str) -> list[etree._Element]:
        """Return every element at ``path`` below its first parent."""
        parent = self._above(path)
        _above, step = paths.split(path)
        return [
            child
            for child in (() if parent is None else parent)
            if child.tag == step.tag and paths.matches(child, step)
        ]

    def _above(self, path: str) -> etree._Element | None:
        above, _step = paths.split(path)
        if not above:
            return self.root
        return self._present(above)

    def _present(self, path: str) -> etree._Element | None:
        """Return the first element at ``path``, if there is one; as fast in a
        document of many devices as in a small one.
        """
        element = self.root
        for step in paths.steps(path):
            child = self._child(element, step)
            if child is None:
                # Its index knows the first at each step alone.
                return next(iter(paths.find(self.root, path)), None)
            element = child
        return element

    def _reach(self, path: str, make: bool) -> tuple[etree._Element, int]:
        """Return the element at ``path`` and how many steps were created.

        :param make: whether devices may be created, too.
        """
        known = self._known.get(path)
        if known is not None:
            return known, 0
        above, step = paths.split(path)
        parent, made = self._reach(above, make) if above else (self.root, 0)
        child = self._child(parent, step)
        if child is None:
            if not make and any(key.child for key in step.keys):
                raise InvalidDocument(
                    f'the domain has no {step.tag} with '
                    + ' and '.join(f'{k[0]} {k[2]}' for k in step.keys)
                )
            child = self._make(parent, step, len(paths.steps(path)))
            made += 1
        self._known[path] = child
        return child, made

    def _child(
        self, parent: etree._Element, step: paths.Step
    ) -> etree._Element | None:
        if not step.keys:
            return parent.find(step.tag)
        if len(step.keys) > 1:
            candidates = parent.iterchildren(step.tag)
            return next(
                (c for c in candidates if paths.matches(c, step)), None
            )
        key = step.keys[0]
        return self._children(parent, step.tag, key).get(key.value)

    def _children(
        self, parent: etree._Element, tag: str, key: paths.Key
    ) -> _Children:
        """Return the children of ``tag`` by their value at ``key``."""
        by_key = self._index.setdefault((parent, tag), {})
        name = (key.child, key.attribute)
        index = by_key.get(name)
        if index is None:
            index = by_key[name] = {}
            for child in parent.iterchildren(tag):
                index.setdefault(paths.value(child, key), child)
        return index

    def _make(
        self, parent: etree._Element, step: paths.Step, depth: int
    ) -> etree._Element:
        child = etree.Element(step.tag)
        for key in step.keys:
            _keyed(child, key).set(key.attribute, key.value)
        tree.append(parent, child, depth)
        # It is the last of its tag: whoever has its key already comes first.
        for name, index in self._index.get((parent, step.tag), {}).items():
            index.setdefault(paths.value(child, paths.Key(*name, '')), child)
        self._forget_above(parent, step.tag)
        return child

    def _cut(self, element: etree._Element) -> None:
        parent = tree.parent_of(element)
        tree.cut(element)
        self._changed(parent, element)

    def _changed(
        self, parent: etree._Element, element: etree._Element
    ) -> None:
        """Forget what may not hold since a child was cut or inserted; what
        is known of other children still does.
        """
        self._known.clear()
        tag = str(element.tag)
        self._index.pop((parent, tag), None)
        self._forget_above(parent, tag)

    def _forget_above(self, parent: etree._Element, tag: str) -> None:
        """Forget who has which key where the keys are children of ``tag``."""
        above = parent.getparent()
        if above is not None:
            by_key = self._index.get((above, str(parent.tag)), {})
            for name in [name for name in by_key if name[0] == tag]:
                del by_key[name]


def _emptied(element: etree._Element | None) -> int:
    """Return how many elements, from this one up, hold nothing."""
    count = 0
    while (
        element is not None
        and element.getparent() is not None
        and len(element) <= bool(count)
        and not element.attrib
        and tree.blank(element.text)
    ):
        count += 1
        element = element.getparent()
    return count


def _libvirts(path: str) -> bool:
    """Return whether libvirt recreates what is at ``path`` when it is missing:
    it is nobody's change, and wrong for what is restored around it.
    """
    return paths.steps(path)[-1].tag == 'address'


def _keyed(element: etree._Element, key: paths.Key) -> etree._Element:
    """Return the element that carries the attribute of ``key``, created if
    necessary.
    """
    if key.child is None:
        return element
    child = element.find(key.child)
    return etree.SubElement(element, key.child) if child is None else child


def _only_keys(element: etree._Element, step: paths.Step) -> bool:
    """Return whether ``element`` has nothing except what identifies it."""
    keys: dict[str | None, set[str]] = {None: set()}
    for key in step.keys:
        keys.setdefault(key.child, set()).add(key.attribute)
    if set(map(str, element.attrib)) - keys[None]:
        return False
    return all(
        child.tag in keys
        and not len(child)
        and not set(map(str, child.attrib)) - keys[child.tag]
        for child in element
    )


def _reorder(element: etree._Element, order: tuple[str, ...]) -> None:
    now = {str(k): str(v) for k, v in element.attrib.items()}
    names = [n for n in order if n in now] + [n for n in now if n not in order]
    element.attrib.clear()
    for name in names:
        element.set(name, now[name])
