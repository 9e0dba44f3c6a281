"""What libvirt itself changes when it stores a definition, for undo.

A disk that moves to another bus gets a controller, a guest that grows gets
devices that libvirt wants in it. Nobody promised these, and an undo that only
takes promises back would leave them. So what still differs after the promises
were taken back is kept in the receipt, element by element.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import difflib

from lxml import etree

from kvm_tuning.core.xml import tree
from kvm_tuning.core.xml.tree import Removed

#: The parents whose children are compared one by one; '' is ``<domain>``. A
#: child of another one is kept as a whole.
_PARENTS = ('', 'devices')


@dataclass(frozen=True, slots=True)
class Remade:
    """What libvirt has changed below one parent."""

    #: One of '' and ``devices``.
    parent: str
    #: The XML of each element that it added.
    made: tuple[str, ...]
    #: Each element that it left out.
    lost: tuple[Removed, ...]


def differences(
    undone: etree._Element, before: etree._Element
) -> tuple[Remade, ...]:
    """Return what has to change for ``undone`` to be ``before`` again.

    :param undone: a definition as libvirt stored it, the promises taken back.
    :param before: the definition that was to be tuned.
    """
    return tuple(
        each
        for parent in _PARENTS
        if (each := _below(parent, undone, before)) is not None
    )


def _below(
    parent: str, undone: etree._Element, before: etree._Element
) -> Remade | None:
    ours, theirs = _parent(undone, parent), _parent(before, parent)
    if ours is None or theirs is None:
        return None
    now = [_text(child, parent) for child in ours]
    then = [_text(child, parent) for child in theirs]
    made: list[str] = []
    lost: list[Removed] = []
    matcher = difflib.SequenceMatcher(None, now, then, autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag != 'equal':
            made += now[first:last]
            lost += [tree.removed(theirs[n]) for n in range(start, end)]
    if not made and not lost:
        return None
    return Remade(parent, tuple(made), tuple(lost))


def take_back(root: etree._Element, remade: Iterable[Remade]) -> Iterator[str]:
    """Undo libvirt's changes, after the promises were taken back.

    Yield the address of what somebody else has changed since; that stays.
    """
    for each in remade:
        parent = _parent(root, each.parent)
        if parent is None:
            yield each.parent
            continue
        there = {_text(child, each.parent): child for child in parent}
        kept: Counter[str] = Counter()
        for text in each.made:
            child = there.pop(text, None)
            if child is None:
                tag = str(tree.parse(text).tag)
                kept[tag] += 1
                yield f'{each.parent}/{tag}'.lstrip('/')
            else:
                tree.cut(child)
        for removed in each.lost:
            tag = str(tree.parse(removed.xml).tag)
            if kept[tag]:
                # Its successor is somebody else's by now.
                kept[tag] -= 1
                continue
            tree.insert(parent, removed)


def _parent(root: etree._Element, path: str) -> etree._Element | None:
    return root.find(path) if path else root


def _text(element: etree._Element, parent: str) -> str:
    """Return what stands for a child: its XML, or only its tag where its own
    children are compared.
    """
    if not parent and element.tag in _PARENTS:
        return f'<{element.tag}>'
    return etree.tostring(element, encoding='unicode', with_tail=False)
