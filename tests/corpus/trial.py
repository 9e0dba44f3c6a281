"""One document with one flavor: planned, stored, taken back."""

from typing import NamedTuple

from lxml import etree

from kvm_tuning import loader
from kvm_tuning.adapters import standalone
from kvm_tuning.adapters.trial import planned
from kvm_tuning.core import domain, request
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import (
    HookError,
    KvmTuningError,
    LibvirtFailed,
)
from tests.corpus import flavors

#: What can become of one. The first is as it should be, as is a refusal.
KEPT, REFUSED = 'kept', 'refused'
FAILURES = (
    'refused-by-libvirt',
    'altered-by-libvirt',
    'not-judged',
    'undo-differs',
    'not-idempotent',
    'death',
    'traceback',
)


class Outcome(NamedTuple):
    """What became of one document with one flavor."""

    kind: str
    detail: str = ''


class Store:
    """What :mod:`kvm_tuning.adapters.standalone` needs of libvirt to write a
    definition, with a throw-away libvirt behind it.
    """

    def __init__(self, judge, name, xml):
        self._judge = judge
        self._name = name
        self.xml = xml
        self.died = False

    def record(self, name, secure=False):
        return Record(self._name, 'uuid', self.xml, None)

    def define(self, name, xml):
        answer = self._judge.define(xml)
        if answer.xml is None:
            self.died = self.died or answer.died
            raise LibvirtFailed(answer.error)
        self.xml = answer.xml


def tried(judge, xml, flavor, image, site):
    """Return the outcome of one flavor for one document.

    :param xml: as libvirt has printed it.
    """
    hooks = loader.load()
    found = domain.read(xml)
    try:
        asked = request.read(
            flavor, image, loader.knobs(hooks), flavors.profiles()
        )
        made = planned.make(hooks, asked, found, site, judge)
    except KvmTuningError as error:
        kind = 'traceback' if isinstance(error, HookError) else REFUSED
        return Outcome(kind, f'{error.code}: {error}')
    if any(c.code == 'not-judged' for c in made.plan.consequences):
        return Outcome('not-judged', made.plan.consequences[-1].text)
    store = Store(judge, found.guest.name, xml)
    try:
        standalone.write(store, store.record(''), found, made.xml)
    except LibvirtFailed as error:
        kind = 'death' if store.died else 'refused-by-libvirt'
        return Outcome(kind, str(error))
    except KvmTuningError as error:
        return Outcome('altered-by-libvirt', str(error))
    stored = domain.read(store.xml)
    if not domain.alike(stored, found):
        return Outcome('undo-differs', 'the document')
    again = planned.make(hooks, asked, stored, site, judge)
    if _parsed(again.xml) != _parsed(made.xml):
        return Outcome('not-idempotent', 'planned again')
    standalone.write(store, store.record(''), stored, domain.undo(stored))
    if store.xml != xml:
        return Outcome('undo-differs', 'what libvirt makes of it')
    return Outcome(KEPT)


def _parsed(xml):
    """Return a document whatever quotes it has."""
    return etree.tostring(domain.read(xml).root)
