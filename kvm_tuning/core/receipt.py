"""The receipt: what was promised to a guest, kept in its domain's metadata.

It is all the state there is for a guest: for each address the promised value
and the one found before (so that it can be undone and audited), who requested
what, what the guest holds on the host, and which preferences were not kept.
libvirt keeps it: ``<metadata>`` takes one element per XML namespace
(formatdomain, "General metadata").
"""

from collections.abc import Iterable, Mapping
import copy
from dataclasses import dataclass
import json
import re

from lxml import etree

from kvm_tuning.core import cpuset, receipt_check
from kvm_tuning.core.edit import TEXT, Promise, Removal
from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.knobs import Source
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.placement import Unkept
from kvm_tuning.core.xml.remade import Remade
from kvm_tuning.core.xml.tree import Removed

NAMESPACE = 'urn:kvm-tuning:receipt:1'

#: The newest format that is understood. A receipt that takes a newer one to
#: read it, as its ``format`` says (1 without), is an error: undo would miss
#: what it holds. 2 added ``<remade>``: what libvirt changed by itself.
FORMAT = 2
PREFIX = 'kvm-tuning'
TAG = f'{{{NAMESPACE}}}receipt'
PATH = f'metadata/{TAG}'

_OWN = etree.XMLParser(resolve_entities=False, no_network=True)
# What an attribute in double quotes cannot contain unescaped.
_SPECIAL = re.compile('[&<>"\n\r\t]')
_ESCAPED = str.maketrans({
    '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;',
    '\n': '&#10;', '\r': '&#13;', '\t': '&#9;',
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a requested key comes from."""

    key: str
    text: str
    source: Source
    origin: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was promised to one guest, and what it holds in return."""

    flavor: str
    asked: tuple[Origin, ...] = ()
    #: In the order in which they were made.
    promises: tuple[Promise | Removal, ...] = ()
    settings: tuple[Setting, ...] = ()
    claim: Claim | None = None
    unkept: tuple[Unkept, ...] = ()
    #: What libvirt has changed by itself when it stored the definition.
    remade: tuple[Remade, ...] = ()
    #: Whether ``<metadata>`` itself was created for it.
    made_metadata: bool = False


def write(receipt: Receipt) -> etree._Element:
    """Return ``receipt`` as an element.

    It is written as text and parsed once: creating a hundred elements one by
    one takes longer than Nova takes to write the whole domain.
    """
    values = {f'xmlns:{PREFIX}': NAMESPACE, 'flavor': receipt.flavor}
    if receipt.remade:
        values['format'] = str(FORMAT)
    if receipt.made_metadata:
        values['made-metadata'] = 'yes'
    inner = [_asked(asked) for asked in receipt.asked]
    inner += [
        _removal(promise)
        if isinstance(promise, Removal)
        else _promise(promise)
        for promise in receipt.promises
    ]
    inner += [_setting(setting) for setting in receipt.settings]
    if receipt.claim is not None:
        inner.append(_claim(receipt.claim))
    inner += [_unkept(unkept) for unkept in receipt.unkept]
    inner += [_remade(remade) for remade in receipt.remade]
    return etree.fromstring(_tag('receipt', values, inner), _OWN)


def has_settings(xml: str) -> bool:
    """Return, without parsing, whether a document that we wrote promises
    anything outside the domain. libvirt keeps a receipt with the prefix that
    :func:`metadata` gave it.
    """
    return NAMESPACE in xml and ':setting ' in xml


def find(domain: etree._Element) -> etree._Element | None:
    """Find the receipt's element in a ``<domain>``."""
    return domain.find(PATH)


def metadata(domain: etree._Element) -> str | None:
    """Return a domain's receipt as libvirt's setMetadata takes it; None
    without one.

    libvirt declares :data:`PREFIX` on the element itself (xmlNewNs in
    virDomainDefSetMetadata), and fails where it is declared already: the
    receipt goes in with another prefix.
    """
    found = find(domain)
    return None if found is None else as_metadata(found)


def as_metadata(found: etree._Element) -> str:
    """Return a receipt's element as :func:`metadata` does."""
    element = etree.Element(
        found.tag,
        {str(key): str(value) for key, value in found.attrib.items()},
        nsmap={'r': NAMESPACE},
    )
    element.extend(copy.deepcopy(list(found)))
    return etree.tostring(element, encoding='unicode')


def read(element: etree._Element) -> Receipt:
    """Return the receipt that its element holds.

    :raises InvalidDocument: it was edited and cannot be understood.
    """
    try:
        found = _read(element)
        receipt_check.check(found)
        return found
    except (KeyError, TypeError, ValueError, RecursionError, SyntaxError) as e:
        raise InvalidDocument(
            f"the domain's receipt ({NAMESPACE}) cannot be read: {e!r}"
        ) from e


def _read(root: etree._Element) -> Receipt:
    wanted = int(root.get('format', '1'))
    if wanted > FORMAT:
        raise ValueError(
            f'it has format {wanted}, written by a newer release; this one '
            f'understands up to {FORMAT}: upgrade kvm-tuning'
        )
    promises: list[Promise | Removal] = []
    for element in root:
        if element.tag == _name('element'):
            promises.append(_read_promise(element))
        elif element.tag == _name('absent'):
            promises.append(_read_removal(element))
    claim = root.find(_name('claim'))
    return Receipt(
        flavor=root.get('flavor', ''),
        asked=tuple(
            Origin(
                _get(e, 'key'),
                _get(e, 'value'),
                Source(_get(e, 'source')),
                _get(e, 'origin'),
            )
            for e in root.iterfind(_name('asked'))
        ),
        promises=tuple(promises),
        settings=tuple(
            Setting(
                _get(e, 'kind'),
                _get(e, 'name'),
                _get(e, 'value'),
                Scope(_get(e, 'scope')),
                Phase(_get(e, 'phase')),
            )
            for e in root.iterfind(_name('setting'))
        ),
        claim=None if claim is None else _read_claim(claim),
        unkept=tuple(
            Unkept(
                _get(e, 'knob'),
                _get(e, 'wanted'),
                _get(e, 'found'),
                _get(e, 'reason'),
            )
            for e in root.iterfind(_name('unkept'))
        ),
        remade=tuple(
            Remade(
                _get(e, 'parent'),
                tuple(_get(m, 'xml') for m in e.iterfind(_name('made'))),
                _read_removed(e),
            )
            for e in root.iterfind(_name('remade'))
        ),
        made_metadata=root.get('made-metadata') == 'yes',
    )


def _asked(asked: Origin) -> str:
    return _tag('asked', {
        'key': asked.key,
        'value': asked.text,
        'source': asked.source.value,
        'origin': asked.origin,
    })  # fmt: skip


def _setting(setting: Setting) -> str:
    return _tag('setting', {
        'kind': setting.kind,
        'name': setting.name,
        'value': setting.value,
        'scope': setting.scope.value,
        'phase': setting.phase.value,
    })  # fmt: skip


def _unkept(unkept: Unkept) -> str:
    return _tag('unkept', {
        'knob': unkept.knob,
        'wanted': unkept.wanted,
        'found': unkept.found,
        'reason': unkept.reason,
    })  # fmt: skip


def _promise(promise: Promise) -> str:
    values = {'path': promise.path}
    if promise.made:
        values['made'] = str(promise.made)
    if promise.order:
        values['order'] = ' '.join(promise.order)
    for name, wanted in promise.wanted.items():
        suffix = '' if name == TEXT else f'.{name}'
        if wanted is None:
            values[f'gone{suffix}'] = ''
        else:
            values[f'want{suffix}'] = wanted
        before = promise.found.get(name)
        if before is not None:
            values[f'found{suffix}'] = before
    return _tag('element', values)


def _read_promise(element: etree._Element) -> Promise:
    wanted: dict[str, str | None] = {}
    found: dict[str, str | None] = {}
    for key, value in element.attrib.items():
        verb, _, name = str(key).partition('.')
        if verb in ('want', 'gone'):
            wanted[name or TEXT] = None if verb == 'gone' else str(value)
        elif verb == 'found':
            found[name or TEXT] = str(value)
    return Promise(
        path=_get(element, 'path'),
        wanted=wanted,
        found={name: found.get(name) for name in wanted},
        made=int(element.get('made', '0')),
        order=tuple(element.get('order', '').split()),
    )


def _removal(removal: Removal) -> str:
    values = {'path': removal.path}
    if removal.emptied:
        values['emptied'] = str(removal.emptied)
    return _tag('absent', values, _removed(removal.removed))


def _remade(remade: Remade) -> str:
    made = [_tag('made', {'xml': xml}) for xml in remade.made]
    return _tag(
        'remade', {'parent': remade.parent}, made + _removed(remade.lost)
    )


def _removed(elements: Iterable[Removed]) -> list[str]:
    inner = []
    for removed in elements:
        values = {'position': str(removed.position), 'xml': removed.xml}
        for key in ('before', 'after'):
            text = getattr(removed, key)
            if text is not None:
                # JSON, as text that is only white space does not survive
                # everywhere.
                values[key] = json.dumps(text)
        inner.append(_tag('removed', values))
    return inner


def _read_removal(element: etree._Element) -> Removal:
    return Removal(
        _get(element, 'path'),
        _read_removed(element),
        int(element.get('emptied', '0')),
    )


def _read_removed(element: etree._Element) -> tuple[Removed, ...]:
    return tuple(
        Removed(
            int(_get(e, 'position')),
            _get(e, 'xml'),
            receipt_check.text(e.get('before')),
            receipt_check.text(e.get('after')),
        )
        for e in element.iterfind(_name('removed'))
    )


def _claim(claim: Claim) -> str:
    inner = [
        _tag('pages', {
            'cell': str(cell), 'size-kib': str(size), 'count': str(count),
        })
        for (cell, size), count in sorted(claim.pages.items())
    ]  # fmt: skip
    inner += [
        _tag('memory', {'cell': str(cell), 'kib': str(kib)})
        for cell, kib in sorted(claim.memory_kib.items())
    ]
    inner += [
        _tag('device', {'address': address})
        for address in sorted(claim.devices)
    ]
    return _tag('claim', _claim_sets(claim), inner)


def _claim_sets(claim: Claim) -> dict[str, str]:
    values = {}
    if claim.pcpus:
        values['pcpus'] = cpuset.format(claim.pcpus)
    if claim.shared:
        values['shared'] = cpuset.format(claim.shared)
        values['shared-vcpus'] = str(claim.shared_vcpus)
    return values


def _read_claim(element: etree._Element) -> Claim:
    """Return the claim; its owner and name come from the domain."""
    return Claim(
        owner='',
        name='',
        pcpus=cpuset.parse(element.get('pcpus', '')),
        shared=cpuset.parse(element.get('shared', '')),
        shared_vcpus=int(element.get('shared-vcpus', '0')),
        pages={
            (int(_get(e, 'cell')), int(_get(e, 'size-kib'))): int(
                _get(e, 'count')
            )
            for e in element.iterfind(_name('pages'))
        },
        memory_kib={
            int(_get(e, 'cell')): int(_get(e, 'kib'))
            for e in element.iterfind(_name('memory'))
        },
        devices=frozenset(
            _get(e, 'address') for e in element.iterfind(_name('device'))
        ),
    )


def _get(element: etree._Element, key: str) -> str:
    return str(element.attrib[key])


def _name(tag: str) -> str:
    return f'{{{NAMESPACE}}}{tag}'


def _tag(
    tag: str, values: Mapping[str, str], inner: Iterable[str] = ()
) -> str:
    """Return the text of one of our elements."""
    if _SPECIAL.search(' '.join(values.values())):
        values = {n: text.translate(_ESCAPED) for n, text in values.items()}
    attributes = ''.join([f' {n}="{text}"' for n, text in values.items()])
    content = ''.join(inner)
    if not content:
        return f'<{PREFIX}:{tag}{attributes}/>'
    return f'<{PREFIX}:{tag}{attributes}>{content}</{PREFIX}:{tag}>'


def indent(element: etree._Element, depth: int) -> None:
    """Indent the receipt's children, ``depth`` levels below the root."""
    etree.indent(element, '  ', level=depth)
