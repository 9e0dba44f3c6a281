"""Read a domain's XML, tune it in place, and undo the tuning.

Unknown elements and comments survive; the bytes of a domain stay the same when
nothing is requested for it. XML from outside is parsed with entities, DTDs and
network off (a DTD is refused).
"""

from collections.abc import Collection
import copy
import dataclasses
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from kvm_tuning.core import edit, guest, receipt
from kvm_tuning.core.effects import Element, Setting
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.references import follow
from kvm_tuning.core.xml import bytes as bytes_
from kvm_tuning.core.xml import remade, tree

#: Far larger than any domain that libvirt accepts; bounds what is parsed.
MAX_BYTES = 4 * 1024 * 1024

# lxml lets only one thread at a time use a parser.
_FROM_OUTSIDE = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    encoding='utf-8',
)


@dataclass(frozen=True, slots=True)
class Untuned:
    """A document without our tuning."""

    root: etree._Element
    #: Addresses that somebody else has changed since: they are left alone.
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class Domain:
    """A domain's document, and what it was promised before."""

    xml: str
    #: As it is in ``xml``.
    root: etree._Element
    receipt: Receipt | None
    #: Why the receipt that is there cannot be read.
    unreadable: InvalidDocument | None = None

    @cached_property
    def untuned(self) -> Untuned:
        """The document as it was before we tuned it."""
        if self.receipt is None:
            return Untuned(self.root, ())
        root = copy.deepcopy(self.root)
        foreign = _undo(root, self.receipt)
        return Untuned(root, tuple(foreign))

    @cached_property
    def guest(self) -> Guest:
        """The facts of the domain before we tuned it: what a plan is made
        from.
        """
        return guest.read(self.untuned.root)

    @cached_property
    def current(self) -> Guest:
        """The facts of the domain as it is."""
        return guest.read(self.root)


def read(xml: str) -> Domain:
    """Return the domain that its XML describes.

    :raises InvalidDocument: it is not a domain, has a DTD, or is too large.
    """
    root = _parse(xml)
    element = receipt.find(root)
    return Domain(
        xml, root, None if element is None else receipt.read(element)
    )


def look(xml: str) -> Domain:
    """Return the domain as :func:`read` does; without its receipt, and with
    the reason, if that cannot be read.

    :raises InvalidDocument: it is not a domain, has a DTD, or is too large.
    """
    root = _parse(xml)
    element = receipt.find(root)
    try:
        found = None if element is None else receipt.read(element)
    except InvalidDocument as error:
        return Domain(xml, root, None, error)
    return Domain(xml, root, found)


def read_without_receipt(xml: str) -> Domain:
    """Return the domain as if nobody had tuned it, for a receipt that cannot
    be read.

    :raises InvalidDocument: as :func:`read`.
    """
    return Domain(xml, _parse(xml), None)


def kept(xml: str) -> Guest:
    """Return the facts of a document that libvirt keeps on disk: of a
    ``<domain>``, or of the ``<domstatus>`` of a running one.

    :raises InvalidDocument: it is neither, has a DTD, or is too large.
    """
    return guest.read(_kept(xml))


def kept_text(xml: str) -> str:
    """Return the ``<domain>`` of such a document as text.

    :raises InvalidDocument: as :func:`kept`.
    """
    return etree.tostring(_kept(xml), encoding='unicode', with_tail=False)


def _kept(xml: str) -> etree._Element:
    root = _parse(xml, ('domain', 'domstatus'))
    if root.tag == 'domain':
        return root
    inner = root.find('domain')
    if inner is None:
        raise InvalidDocument('a <domstatus> without a <domain>')
    return inner


def tune(domain: Domain, plan: Plan) -> str:
    """Return the XML in which every effect of ``plan`` holds.

    What an earlier plan changed and this one does not want is restored. If
    nothing has to change, the bytes stay the same.
    """
    if not (plan.effects or plan.unkept):
        return undo(domain)
    root = copy.deepcopy(domain.untuned.root)
    tune_tree(root, plan)
    return written(root, domain.xml)


def tune_tree(root: etree._Element, plan: Plan) -> None:
    """Make every effect of ``plan`` hold in a document that nobody has tuned
    yet, and add the receipt. Without effects, and without a preference that
    could not be kept, nothing changes.
    """
    if plan.effects or plan.unkept:
        add_receipt(root, plan, apply(root, plan))


def apply(
    root: etree._Element, plan: Plan
) -> tuple[edit.Promise | edit.Removal, ...]:
    """Make every effect of ``plan`` hold in an untuned document, and return
    the resulting promises.
    """
    editor = edit.Editor(root)
    changed = follow.changes(root, plan.effects)
    made = [
        editor.apply(effect)
        if isinstance(effect, Element)
        else editor.remove(effect)
        for effect in plan.effects
        if not isinstance(effect, Setting)
    ]
    return (*made, *follow.follow(editor, changed))


def _receipt_of(
    plan: Plan,
    promises: tuple[edit.Promise | edit.Removal, ...],
    made_metadata: bool,
) -> Receipt:
    return Receipt(
        flavor=plan.request.flavor,
        asked=tuple(
            receipt.Origin(a.key, a.text, a.source, a.origin)
            for a in plan.request.asked.values()
        ),
        promises=promises,
        settings=tuple(e for e in plan.effects if isinstance(e, Setting)),
        claim=plan.claim,
        unkept=plan.unkept,
        made_metadata=made_metadata,
    )


def undo(domain: Domain) -> str:
    """Return the XML as it was before we tuned it.

    What somebody else has changed since stays (``domain.untuned.foreign``).
    """
    if domain.receipt is None:
        return domain.xml
    return written(domain.untuned.root, domain.xml)


def _parse(xml: str, wanted: Collection[str] = ('domain',)) -> etree._Element:
    if len(xml) > MAX_BYTES:
        raise InvalidDocument(
            f'the domain XML has {len(xml)} characters, more than {MAX_BYTES}'
        )
    try:
        root = etree.fromstring(xml.encode(), _FROM_OUTSIDE)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as exc:
        raise InvalidDocument(f'the domain is not XML: {exc}') from exc
    if root.getroottree().docinfo.internalDTD is not None:
        raise InvalidDocument(
            'the domain XML has a document type declaration: it is refused '
            'because libvirt writes none and entities could read files'
        )
    if root.tag not in wanted:
        raise InvalidDocument(f'want a <domain>, found <{root.tag}>')
    return root


def written(root: etree._Element, like: str) -> str:
    """Return the text of ``root``, as ``like`` is written.

    :raises InvalidDocument: it cannot be read again.
    """
    text = bytes_.like(root, like)
    _parse(text)
    return text


def _undo(root: etree._Element, promised: Receipt) -> list[str]:
    element = receipt.find(root)
    if element is not None:
        metadata = element.getparent()
        tree.cut(element)
        if (
            promised.made_metadata
            and metadata is not None
            and not len(metadata)
        ):
            tree.cut(metadata)
    foreign = edit.Editor(root).take_back(promised.promises)
    return [*foreign, *remade.take_back(root, promised.remade)]


def restorable(stored: Domain, before: Domain) -> str:
    """Return the XML of a domain that libvirt has stored, with all in its
    receipt that it takes to come back to ``before``'s.

    :param before: the untuned definition, as libvirt wrote it.
    """
    if stored.receipt is None or alike(stored, before):
        return stored.xml
    found = dataclasses.replace(
        stored.receipt,
        remade=remade.differences(stored.untuned.root, before.untuned.root),
    )
    root = copy.deepcopy(stored.root)
    replace_receipt(root, found)
    return written(root, stored.xml)


def alike(one: Domain, other: Domain) -> bool:
    """Return whether two domains are the same without our tuning, to the
    last space; only quotes may differ, which libvirt writes as it likes.
    """
    first, second = (
        etree.tostring(each.untuned.root, encoding='unicode', with_tail=False)
        for each in (one, other)
    )
    return first == second


def replace_receipt(root: etree._Element, new: Receipt) -> None:
    """Put another receipt in the place of a document's.

    :raises InvalidDocument: it has none.
    """
    old = receipt.find(root)
    metadata = root.find('metadata')
    if old is None or metadata is None:
        raise InvalidDocument('the domain has lost its receipt')
    element = receipt.write(new)
    receipt.indent(element, 2)
    element.tail = old.tail
    metadata.replace(old, element)


def add_receipt(
    root: etree._Element,
    plan: Plan,
    promises: tuple[edit.Promise | edit.Removal, ...],
) -> None:
    """Write the receipt of a plan whose effects have become promises."""
    metadata = root.find('metadata')
    made = metadata is None
    if metadata is None:
        metadata = etree.Element('metadata')
        tree.append(root, metadata, 1)
    element = receipt.write(_receipt_of(plan, promises, made))
    tree.append(metadata, element, 2)
    if element.tail is not None:
        tail = element.tail
        receipt.indent(element, 2)
        element.tail = tail
