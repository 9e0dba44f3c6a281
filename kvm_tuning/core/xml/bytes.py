"""Write a changed document with the bytes of the one it was made from.

lxml keeps what is in the root element, and neither what surrounds it nor
which quotes attributes have. Each function takes time in proportion to the
text.
"""

from collections.abc import Iterator
import re

from lxml import etree

_VALUE = r"""(?:"[^"]*"|'[^']*')"""
_ATTRIBUTES = rf'(?:\s+[^\s=/>]+\s*=\s*{_VALUE})*'
_SKIPPED = r'<!--.*?-->|<\?.*?\?>|<!\[CDATA\[.*?\]\]>'
# A byte order mark, and what XML calls Misc.
_PROLOGUE = re.compile(r'\ufeff?(?:\s|<\?.*?\?>|<!--.*?-->)*+', re.DOTALL)
_TAG = re.compile(
    rf'{_SKIPPED}|<([^\s<>/!?]+)({_ATTRIBUTES})\s*(/?)>', re.DOTALL
)
_END = re.compile(rf'{_SKIPPED}|</domain\s*>', re.DOTALL)
_ATTRIBUTE = re.compile(rf'\s+([^\s=/>]+)\s*=\s*({_VALUE})')
_REFERENCE = re.compile(r'&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(\w+));')
_NAMED = {'lt': '<', 'gt': '>', 'amp': '&', 'quot': '"', 'apos': "'"}

#: A start tag by what it says: the name, the attributes, whether it is empty.
_Meaning = tuple[str, tuple[tuple[str, str], ...], bool]


def like(root: etree._Element, before: str) -> str:
    """Return the text of ``root`` with what surrounds the root element in
    ``before``, and with the quotes that ``before`` uses; a tag that says the
    same as one of ``before`` has the bytes of that.
    """
    text = etree.tostring(root, encoding='unicode', with_tail=False)
    prologue = _PROLOGUE.match(before)
    start = prologue.end() if prologue else 0
    single, double = "='" in before, '="' in before
    if single and double:
        text = _as_tags(text, before, start)
    elif single:
        text = _single_quoted(text)
    return before[:start] + text + before[_end(before, start) :]


def _end(text: str, start: int) -> int:
    """Return where the root element, which begins at ``start``, ends."""
    end = None
    for match in _END.finditer(text, start):
        if match[0].startswith('</'):
            end = match.end()
    if end is None:  # <domain .../>
        tag = _TAG.match(text, start)
        end = tag.end() if tag else len(text)
    return end


def _single_quoted(text: str) -> str:
    """Return lxml's output with all attributes in single quotes."""
    return _TAG.sub(_requoted, text)


def _requoted(match: re.Match[str]) -> str:
    if match[1] is None or not match[2]:
        return match[0]
    # lxml escapes double quotes within an attribute, and no single ones.
    attributes = match[2].replace("'", '&apos;').replace('"', "'")
    return f'<{match[1]}{attributes}{match[3]}>'


def _as_tags(text: str, before: str, start: int) -> str:
    """Return ``text`` with the bytes of each start tag that is in ``before``;
    others have the quotes of the first tag that has any.
    """
    known: dict[_Meaning, list[str]] = {}
    quote = ''
    for match in _tags(before, start):
        known.setdefault(_meaning(match), []).append(match[0])
        if not quote and match[2]:
            quote = match[2][-1]
    used: dict[_Meaning, int] = {}

    def written(match: re.Match[str]) -> str:
        if match[1] is None or not match[2]:
            return match[0]
        meaning = _meaning(match)
        tags = known.get(meaning)
        if tags is None:
            return _requoted(match) if quote == "'" else match[0]
        number = used[meaning] = used.get(meaning, -1) + 1
        return tags[min(number, len(tags) - 1)]

    return _TAG.sub(written, text)


def _tags(text: str, start: int) -> Iterator[re.Match[str]]:
    for match in _TAG.finditer(text, start):
        if match[1] is not None:
            yield match


def _meaning(match: re.Match[str]) -> _Meaning:
    return (
        match[1],
        tuple(
            (name, _REFERENCE.sub(_character, quoted[1:-1]))
            for name, quoted in _ATTRIBUTE.findall(match[2])
        ),
        bool(match[3]),
    )


def _character(match: re.Match[str]) -> str:
    if match[1] or match[2]:
        number = int(match[1]) if match[1] else int(match[2], 16)
        return chr(number) if number < 0x110000 else match[0]
    return _NAMED.get(match[3], match[0])
