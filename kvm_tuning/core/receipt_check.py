"""See that a receipt is one that we could have written.

Whoever may edit a domain's metadata may write anything there. A receipt is
checked as a whole when it is read, so that whatever uses it later need not.
"""

from collections.abc import Collection, Iterable
import json
import re
from typing import Protocol

from lxml import etree

from kvm_tuning.core import cpuset
from kvm_tuning.core.edit import TEXT, Promise, Removal
from kvm_tuning.core.effects import Setting
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.xml import paths, pins, tree
from kvm_tuning.core.xml.remade import Remade
from kvm_tuning.core.xml.tree import Removed

#: Most promises, settings, or elements of one kind. A guest with 1,000 disks
#: has some 5,000.
MOST = 20_000
#: Most characters of a path or a name, and of an element that was taken out.
MOST_TEXT = 4096
MOST_XML = 1 << 20
#: Deepest path: no effect of ours has more than seven steps.
MOST_STEPS = 16
#: A number that no count of pages, KiB or children reaches.
MOST_NUMBER = 1 << 50

_NAME = re.compile(r'[A-Za-z_][\w.-]{0,255}\Z')
# What XML cannot hold (Char of XML 1.0).
_NO_CHARACTER = re.compile(
    '[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]'
)
_PINS = frozenset({pins.VCPU, pins.IOTHREAD, pins.EMULATOR})


class Content(Protocol):
    """The parts of a receipt that are checked."""

    @property
    def asked(self) -> Collection[object]: ...

    @property
    def promises(self) -> Collection[Promise | Removal]: ...

    @property
    def settings(self) -> Collection[Setting]: ...

    @property
    def claim(self) -> Claim | None: ...

    @property
    def unkept(self) -> Collection[object]: ...

    @property
    def remade(self) -> Iterable[Remade]: ...


def text(value: str | None) -> str | None:
    """Return the text that an attribute keeps as JSON; None: there is none.

    :raises ValueError: it is something else.
    :raises RecursionError: it is nested.
    """
    found = json.loads(value or 'null')
    if isinstance(found, str | None):
        return found
    raise ValueError('want a text')


def check(receipt: Content) -> None:
    """Check every part of a receipt.

    :raises ValueError: the first thing in it that we do not write.
    """
    _count('promises', receipt.promises)
    _count('settings', receipt.settings)
    _count('keys', receipt.asked)
    _count('preferences', receipt.unkept)
    for promise in receipt.promises:
        _path(promise.path)
        if isinstance(promise, Removal):
            _elements(promise.removed)
        else:
            _promise(promise)
    for setting in receipt.settings:
        for text in (setting.kind, setting.name, setting.value):
            _text(text)
        if '..' in setting.name.split('/'):
            raise ValueError(f'the name {setting.name!a} climbs')
    for remade in receipt.remade:
        if remade.parent not in ('', 'devices'):
            raise ValueError(f'{remade.parent!a} is not a parent')
        for xml in remade.made:
            _element(xml)
        _elements(remade.lost)
    claim = receipt.claim
    if claim is not None:
        _count('devices', claim.devices)
        for address in claim.devices:
            _text(address)
        _numbers((claim.shared_vcpus,))
        _numbers(number for key in claim.pages for number in key)
        _numbers(claim.pages.values())
        _numbers(claim.memory_kib)
        _numbers(claim.memory_kib.values())


def _promise(promise: Promise) -> None:
    depth = len(paths.steps(promise.path))
    if not 0 <= promise.made <= depth:
        raise ValueError(f'{promise.path!a} has not {promise.made} steps')
    for name, wanted in promise.wanted.items():
        if name != TEXT and not _NAME.match(name):
            raise ValueError(f'{name!a} is not an attribute')
        for text in (wanted, promise.found.get(name)):
            if text is not None and len(text) > MOST_XML:
                raise ValueError(f'{promise.path!a} is too long')
    last = paths.steps(promise.path)[-1]
    if last.tag in _PINS:
        cpuset.parse(promise.wanted.get('cpuset') or '')
        _numbers(int(key.value) for key in last.keys)


def _path(path: str) -> None:
    if len(path) > MOST_TEXT or len(paths.steps(path)) > MOST_STEPS:
        raise ValueError(f'the path {path[:60]!a} is too long')


def _elements(removed: Iterable[Removed]) -> None:
    removed = tuple(removed)
    _count('elements', removed)
    for each in removed:
        _numbers((each.position,))
        _element(each.xml)
        for text in (each.before, each.after):
            if text is not None and _NO_CHARACTER.search(text):
                raise ValueError(f'{text[:60]!a} cannot be in a document')


def _element(xml: str) -> None:
    if len(xml) > MOST_XML:
        raise ValueError(f'an element of {len(xml)} characters')
    try:
        document = tree.parse(xml).getroottree()
    except etree.XMLSyntaxError as error:
        raise ValueError(f'{xml[:60]!a} is not an element: {error}') from error
    if document.docinfo.internalDTD is not None:
        raise ValueError(f'{xml[:60]!a} has a document type')


def _text(text: str) -> None:
    if len(text) > MOST_TEXT or not text.isprintable():
        raise ValueError(f'{text[:60]!a} is not a name or value of ours')


def _numbers(numbers: Iterable[int]) -> None:
    for number in numbers:
        if not 0 <= number <= MOST_NUMBER:
            raise ValueError(f'the number {number}')


def _count(what: str, found: 'Iterable[object]') -> None:
    if len(tuple(found)) > MOST:
        raise ValueError(f'more than {MOST} {what}')
