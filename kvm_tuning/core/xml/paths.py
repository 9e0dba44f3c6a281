"""Paths of effects below ``<domain>``: their grammar, and how to find them.

A path is steps joined by ``/``; a step is a tag with any number of keys:
``[@name='value']`` for an attribute of the element, ``[child/@name='value']``
for one of a child. See :mod:`kvm_tuning.core.effects`.
"""

from functools import lru_cache
import re
from typing import NamedTuple

from lxml import etree

from kvm_tuning.core.xml import implied


class Key(NamedTuple):
    """What distinguishes an element from others with its tag."""

    #: The child that carries the attribute; None: the element itself.
    child: str | None
    attribute: str
    value: str


class Step(NamedTuple):
    """One step of a path."""

    tag: str
    keys: tuple[Key, ...]


_STEP = re.compile(r"([A-Za-z_][\w.-]*)((?:\[[^\]']*'[^']*'\])*)(?:/|\Z)")
_KEY = re.compile(r"\[(?:([A-Za-z_][\w.-]*)/)?@([A-Za-z_][\w.-]*)='([^']*)'\]")


@lru_cache(maxsize=8192)
def steps(path: str) -> tuple[Step, ...]:
    """Return the steps of ``path``.

    :raises ValueError: it is not a path.
    """
    found = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f'{path!r} is not a path of an element')
        keys = list(_KEY.finditer(match[2]))
        # A value may have brackets of its own.
        if sum(len(key[0]) for key in keys) != len(match[2]):
            raise ValueError(f'{path!r} is not a path of an element')
        found.append(Step(match[1], tuple(Key(*k.groups()) for k in keys)))
        position = match.end()
    if not found or path.endswith('/'):
        raise ValueError(f'{path!r} is not a path of an element')
    return tuple(found)


@lru_cache(maxsize=8192)
def split(path: str) -> tuple[str, Step]:
    """Return the path above and the last step; nothing is above the first.

    :raises ValueError: it is not a path.
    """
    last = steps(path)[-1]
    text = last.tag + ''.join(
        f'[{key.child + "/" if key.child else ""}@{key.attribute}='
        f"'{key.value}']"
        for key in last.keys
    )
    return path[: -len(text)].rstrip('/'), last


def matches(element: etree._Element, step: Step) -> bool:
    """Return whether ``element``, of the step's tag, has all its keys."""
    return all(value(element, key) == key.value for key in step.keys)


def value(element: etree._Element, key: Key) -> str | None:
    """Return what ``element`` has where ``key`` looks."""
    if key.child is None:
        return implied.key(element, key.attribute)
    child = element.find(key.child)
    return None if child is None else child.get(key.attribute)


def find(root: etree._Element, path: str) -> list[etree._Element]:
    """Return every element at ``path`` below ``root``."""
    elements = [root]
    for step in steps(path):
        elements = [
            child
            for parent in elements
            for child in parent.iterchildren(step.tag)
            if matches(child, step)
        ]
    return elements
