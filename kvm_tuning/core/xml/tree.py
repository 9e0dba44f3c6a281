"""Put elements into a document and take them out, the white space around them
included, so that the bytes of before come back.
"""

from dataclasses import dataclass

from lxml import etree

_PLAIN = etree.XMLParser(resolve_entities=False, no_network=True)


@dataclass(frozen=True, slots=True)
class Removed:
    """One element that was taken out."""

    #: Position below its parent.
    position: int
    xml: str
    #: The text before and after it.
    before: str | None
    after: str | None


def append(parent: etree._Element, child: etree._Element, depth: int) -> None:
    """Add ``child`` as the last child of ``parent``, indented like its
    siblings.

    ``depth`` is how deep the child is, 1 below the root. A document without
    line breaks gets none.
    """
    if len(parent):
        last = parent[-1]
        child.tail = last.tail
        last.tail = parent.text if blank(parent.text) else None
    elif parent.text is None and _indented(parent, depth):
        parent.text = '\n' + '  ' * depth
        child.tail = '\n' + '  ' * (depth - 1)
    parent.append(child)


def cut(element: etree._Element) -> None:
    """Take ``element`` out of its parent: the reverse of :func:`append`."""
    parent = parent_of(element)
    before = element.getprevious()
    tail = element.tail
    if before is not None:
        if element.getnext() is None:
            before.tail = tail
    elif len(parent) == 1 and tail is not None and blank(parent.text):
        parent.text = None
    element.tail = None
    parent.remove(element)


def removed(element: etree._Element) -> Removed:
    """Return what is needed to :func:`insert` an element again."""
    return Removed(
        parent_of(element).index(element),
        etree.tostring(element, encoding='unicode', with_tail=False),
        _text_before(element),
        element.tail,
    )


def parse(xml: str) -> etree._Element:
    """Return the element of an XML that a receipt holds."""
    return etree.fromstring(xml, _PLAIN)


def insert(parent: etree._Element, what: Removed) -> etree._Element:
    """Put back what :func:`cut` took, and return the element."""
    element = parse(what.xml)
    element.tail = what.after
    parent.insert(what.position, element)
    previous = element.getprevious()
    if previous is None:
        parent.text = what.before
    else:
        previous.tail = what.before
    return element


def _text_before(element: etree._Element) -> str | None:
    previous = element.getprevious()
    return parent_of(element).text if previous is None else previous.tail


def _indented(element: etree._Element, depth: int) -> bool:
    root = element
    for _ in range(depth - 1):
        root = parent_of(root)
    return root.text is not None and '\n' in root.text


def blank(text: str | None) -> bool:
    """Return whether a text is nothing but white space."""
    return text is None or not text.strip()


def parent_of(element: etree._Element) -> etree._Element:
    """Return the parent of an element that is not the root."""
    parent = element.getparent()
    assert parent is not None
    return parent
