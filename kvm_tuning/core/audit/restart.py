"""Which parts of a definition take effect only after a restart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

from kvm_tuning.core import drift
from kvm_tuning.core.edit import TEXT, Promise, Removal
from kvm_tuning.core.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Pending:
    """One address at which the definition and the running guest differ."""

    address: str
    #: The running value, and the definition's.
    running: str
    defined: str


def pending(
    defined: etree._Element,
    live: etree._Element,
    receipts: Iterable[Receipt | None],
) -> tuple[Pending, ...]:
    """Return what needs a restart, among the addresses in ``receipts``.

    :param defined: the ``<domain>`` of the definition.
    :param live: the ``<domain>`` that runs.
    :param receipts: the previous and the current one.
    """
    found: dict[str, Pending] = {}
    for receipt in receipts:
        for promise in receipt.promises if receipt is not None else ():
            for each in _compare(defined, live, promise):
                found.setdefault(each.address, each)
    return tuple(found.values())


def _compare(
    defined: etree._Element,
    live: etree._Element,
    promise: Promise | Removal,
) -> Iterator[Pending]:
    for point in drift.points(live, _as_defined(defined, promise), live=True):
        if not point.same:
            yield Pending(point.address, point.found, point.wanted)


def _as_defined(
    defined: etree._Element, promise: Promise | Removal
) -> Promise | Removal:
    """Return the promise of what the definition has at the address."""
    elements = drift.find(defined, promise.path)
    if not elements:
        return Removal(promise.path)
    if isinstance(promise, Removal):
        return Promise(promise.path, {}, {})
    element = elements[0]
    return Promise(
        promise.path,
        {
            name: element.text if name == TEXT else element.get(name)
            for name in promise.wanted
        },
        {},
    )
