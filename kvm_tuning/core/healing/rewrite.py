"""Rewrite a document, and the receipt in it, for a guest that has moved."""

from collections.abc import Mapping
import copy
import dataclasses
from dataclasses import replace

from lxml import etree

from kvm_tuning.core import cpuset, domain, receipt
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.edit import Promise, Removal
from kvm_tuning.core.effects import Setting, SettingKind
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.xml import paths, pins, tree

#: Each old pCPU of a guest, and the one that takes its place.
Mapped = Mapping[int, int]
_PINS = (pins.VCPU, pins.EMULATOR, pins.IOTHREAD)
#: Its ``cpuset`` is for threads that have no pin.
_ANY = 'vcpu'


def cpus(old: frozenset[int], mapped: Mapped) -> frozenset[int]:
    """Return where a thread may run that may run on ``old`` now.

    A range that has pCPUs of the guest from before and from after is not a
    pin to its own: it stays.
    """
    if (old - mapped.keys()) & frozenset(mapped.values()):
        return old
    return frozenset(mapped.get(cpu, cpu) for cpu in old)


def definition(found: Domain, mapped: Mapped, add: bool = True) -> str:
    """Return a definition with its pins, and what its receipt says of them,
    moved.

    :param add: one without a receipt gets one, so that undo works.
    """
    root = copy.deepcopy(found.root)
    made = _move(root, mapped)
    if found.receipt is not None:
        domain.replace_receipt(root, moved(found.receipt, mapped))
    elif add:
        held = frozenset(
            cpu
            for each in found.current.pins.values()
            for cpu in cpus(each, mapped)
        )
        _add(root, Receipt('', promises=made, claim=Claim('', '', held)))
    return domain.written(root, found.xml)


def moved(before: Receipt, mapped: Mapped) -> Receipt:
    """Return the receipt of a guest that has moved."""
    claim = before.claim
    if claim is not None:
        claim = replace(claim, pcpus=cpus(claim.pcpus, mapped))
    return dataclasses.replace(
        before,
        promises=tuple(_promise(each, mapped) for each in before.promises),
        settings=tuple(_setting(each, mapped) for each in before.settings),
        claim=claim,
    )


def _promise(promise: Promise | Removal, mapped: Mapped) -> Promise | Removal:
    if isinstance(promise, Removal) or not _pins(promise.path):
        return promise
    text = promise.wanted.get('cpuset')
    if text is None:
        return promise
    return replace(
        promise, wanted={**promise.wanted, 'cpuset': _text(text, mapped)}
    )


def _pins(path: str) -> bool:
    steps = paths.steps(path)
    return steps[-1].tag in (*_PINS, _ANY)


def _setting(setting: Setting, mapped: Mapped) -> Setting:
    if setting.kind is not SettingKind.THREAD_AFFINITY:
        return setting
    return replace(setting, value=_text(setting.value, mapped))


def _text(text: str, mapped: Mapped) -> str:
    return cpuset.format(cpus(cpuset.parse(text), mapped))


def _move(root: etree._Element, mapped: Mapped) -> tuple[Promise, ...]:
    """Move every pin of a document, and return what that replaced."""
    made = []
    for element in (*root.iterfind(_ANY), *root.iterfind('cputune/*')):
        text = element.get('cpuset')
        if element.tag not in (*_PINS, _ANY) or text is None:
            continue
        new = _text(text, mapped)
        if new == _text(text, {}):
            continue
        element.set('cpuset', new)
        made.append(Promise(_path(element), {'cpuset': new}, {'cpuset': text}))
    return tuple(made)


def _path(element: etree._Element) -> str:
    if element.tag == pins.VCPU:
        return pins.vcpu_pin(int(element.get('vcpu', '')))
    if element.tag == pins.IOTHREAD:
        return pins.iothread_pin(int(element.get('iothread', '')))
    return _ANY if element.tag == _ANY else pins.EMULATOR_PIN


def _add(root: etree._Element, new: Receipt) -> None:
    parent = root.find('metadata')
    if parent is None:
        parent = etree.Element('metadata')
        tree.append(root, parent, 1)
        new = replace(new, made_metadata=True)
    element = receipt.write(new)
    tree.append(parent, element, 2)
    tail = element.tail
    receipt.indent(element, 2)
    element.tail = tail
