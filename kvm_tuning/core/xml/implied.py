"""Keys that a document need not write: the numbers that libvirt takes then."""

from lxml import etree


def key(element: etree._Element, name: str) -> str | None:
    """Return an attribute that is a key: as it is written, or as libvirt
    numbers an element that does not have it; None when it has no number.

    A guest cell without an id has that of its place. A controller without an
    index has the lowest that no other one of its type has
    (``virDomainNumaDefParseXML``, ``virDomainControllerDefPostParse``).
    """
    written = element.get(name)
    if written is not None:
        return written
    if (element.tag, name) == ('cell', 'id'):
        return str(
            sum(1 for _ in element.itersiblings('cell', preceding=True))
        )
    if (element.tag, name) == ('controller', 'index'):
        return _index(element)
    return None


def _index(controller: etree._Element) -> str | None:
    parent = controller.getparent()
    if parent is None:
        return None
    like = [
        each
        for each in parent.iterchildren('controller')
        if each.get('type') == controller.get('type')
    ]
    taken = {each.get('index') for each in like}
    free = (str(n) for n in range(len(like)) if str(n) not in taken)
    unnumbered = [each for each in like if each.get('index') is None]
    return dict(zip(unnumbered, free, strict=False)).get(controller)
