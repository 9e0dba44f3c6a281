"""The text of the journal: written, read, and salvaged where it is damaged.

What this version cannot read is kept as it is and named: another version may
know it, and nothing of it is undone here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import json
from typing import Any

VERSION = 1

_TEXTS = ('kind', 'name', 'concern', 'title', 'boot', 'place')
_VALUES = ('before', 'wanted', 'got')
#: The key of lines that are not JSON.
_UNREADABLE = 'unreadable'
# A path below /sys is the longest name; a text of the boot configuration the
# longest value.
_MOST_NAME = 4096
_MOST_VALUE = 1 << 20
_MOST_VIA = 1000
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Strange:
    """Something in the journal that this version cannot read."""

    #: A JSON value, or the text of a line that is none.
    raw: Any
    why: str

    def __str__(self) -> str:
        name = self.raw.get('title') if isinstance(self.raw, dict) else None
        if name is None and isinstance(self.raw, str):
            name = self.raw
        what = name if isinstance(name, str) else json.dumps(self.raw)
        return f'{what[:_SHOWN]!a}: {self.why}'


@dataclass(frozen=True, slots=True)
class Document:
    """What the text says."""

    version: int
    #: The fields of each entry; they have been checked.
    entries: tuple[dict[str, Any], ...]
    strange: tuple[Strange, ...] = ()


def parse(raw: bytes) -> Document:
    """Return what is in the text, whatever it is."""
    text = raw.decode('utf-8', 'replace')
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        damage = Strange('the file', f'it is damaged ({error})')
        lines, broken = _salvaged(text)
        return _document(VERSION, lines, (damage, *broken))
    if not isinstance(document, dict):
        return Document(
            VERSION, (), (Strange(document, 'it is not a journal'),)
        )
    version = document.get('version')
    strange: list[Strange] = []
    if type(version) is not int or version < 1:
        strange.append(Strange(version, 'it is not a version'))
        version = VERSION
    elif version > VERSION:
        strange.append(
            Strange('the file', f'its version is {version}, not {VERSION}')
        )
    values: Any = document.get('entries')
    if not isinstance(values, list):
        strange.append(Strange(values, 'it is not a list of entries'))
        values = []
    kept = document.get(_UNREADABLE, [])
    strange += [
        Strange(each, 'it was damaged before')
        for each in (kept if isinstance(kept, list) else [kept])
    ]
    return _document(version, values, strange)


def encode(
    version: int, entries: Sequence[dict[str, Any]], strange: Sequence[Strange]
) -> str:
    """Return the text, an entry a line, with what could not be read."""
    values = [*entries, *(s.raw for s in strange if isinstance(s.raw, dict))]
    lost = [
        s.raw
        for s in strange
        if isinstance(s.raw, str) and s.raw.startswith(_LINE)
    ]
    lines = ',\n'.join(json.dumps(value) for value in values)
    more = f', "{_UNREADABLE}": {json.dumps(lost)}' if lost else ''
    return f'{{"version": {version}, "entries": [\n{lines}\n]{more}}}\n'


# An entry begins so; lines that do not are those around the entries.
_LINE = '{"'


def _salvaged(text: str) -> tuple[list[Any], tuple[Strange, ...]]:
    """Return the lines of a damaged file that are entries, and the others."""
    values: list[Any] = []
    broken: list[Strange] = []
    for line in text.splitlines():
        line = line.strip().rstrip(',')
        if not line.startswith(_LINE) or line.startswith('{"version"'):
            continue
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            broken.append(Strange(line, 'it is damaged'))
    return values, tuple(broken)


def _document(
    version: int, values: Sequence[Any], strange: Sequence[Strange]
) -> Document:
    entries: list[dict[str, Any]] = []
    found = list(strange)
    for value in values:
        # One reason is enough.
        wrong = next(_wrong(value), '')
        if wrong:
            found.append(Strange(value, wrong))
        else:
            entries.append(value)
    return Document(version, tuple(entries), tuple(found))


def _wrong(value: Any) -> Iterator[str]:
    """Yield what is wrong with an entry."""
    if not isinstance(value, dict):
        yield 'it is not an entry'
        return
    for key in _TEXTS:
        text = value.get(key)
        if not isinstance(text, str) or len(text) > _MOST_NAME:
            yield f'{key} is not a text of at most {_MOST_NAME} characters'
    for key in _VALUES:
        text = value.get(key, 0)
        if text is not None and (
            not isinstance(text, str) or len(text) > _MOST_VALUE
        ):
            yield f'{key} is neither null nor a text'
    via = value.get('via')
    if (
        not isinstance(via, list)
        or len(via) > _MOST_VIA
        or not all(isinstance(each, str) for each in via)
    ):
        yield 'via is not a list of texts'
    if value.get('state') not in ('writing', 'done', 'undoing'):
        yield f'state is {value.get("state")!r}'
    if not isinstance(value.get('volatile'), bool):
        yield 'volatile is neither true nor false'
    if not _is_name(value.get('name')):
        yield 'name is not one that is written'


def _is_name(name: Any) -> bool:
    """Tell whether a name can be a path below the root, or an argument of a
    command, and nothing else.
    """
    return (
        isinstance(name, str)
        and name.isprintable()
        and name != ''
        and not name.startswith('-')
        and '..' not in name.split('/')
    )
