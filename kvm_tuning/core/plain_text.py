"""Read JSON and YAML with every value as the text that was written.

A flavor's and an image's values are texts: ``2.10`` must not become ``2.1``,
``010`` not 8 and ``1:30`` not 90, as YAML's own types would have it. Only
true, false and null are recognised, as they have several spellings.

Documents may come from a tenant: size and depth are bounded, aliases, tags and
duplicate keys are refused, and no object is ever constructed.
"""

from collections.abc import Iterable
import json
from typing import NoReturn

import yaml

#: A document's length in characters.
MAX_LENGTH = 1024 * 1024

#: Lists and mappings nested in each other. libyaml's time grows with the
#: square of the depth, so it is bounded while reading.
MAX_DEPTH = 16

#: A value: text, nothing, or values below it.
Tree = str | None | list['Tree'] | dict[str, 'Tree']

_NULLS = frozenset({'', '~', 'null', 'Null', 'NULL'})
# YAML 1.1's booleans, as PyYAML resolves them.
_WORDS = {
    spelling: text
    for text, words in (('true', 'true yes on'), ('false', 'false no off'))
    for word in words.split()
    for spelling in (word, word.capitalize(), word.upper())
}

_TAGGED = (yaml.ScalarEvent, yaml.CollectionStartEvent)

_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def read(text: str) -> Tree:
    """Return the one document in ``text``.

    It is read as JSON, which is faster, when it starts with a bracket,
    otherwise as YAML.

    :raises ValueError: says what is wrong, and where.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f'it has {len(text)} characters: want at most {MAX_LENGTH}'
        )
    text = text.removeprefix('\ufeff')
    if text.lstrip()[:1] in ('{', '['):
        return _read_json(text)
    return _read_yaml(text)


def _read_json(text: str) -> Tree:
    try:
        tree: Tree = json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except json.JSONDecodeError as exc:
        raise ValueError(f'not JSON: {exc}') from None
    except RecursionError:
        raise _too_deep() from None
    return _words(tree, MAX_DEPTH)


def _distinct(pairs: list[tuple[str, Tree]]) -> dict[str, Tree]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _duplicate(key)
            seen.add(key)
    return found


def _words(tree: Tree | bool, depth: int) -> Tree:
    """Return ``tree`` with JSON's booleans as words."""
    if isinstance(tree, bool):
        return 'true' if tree else 'false'
    if isinstance(tree, str) or tree is None:
        return tree
    if not depth:
        raise _too_deep()
    if isinstance(tree, list):
        return [_words(value, depth - 1) for value in tree]
    return {key: _words(value, depth - 1) for key, value in tree.items()}


def _read_yaml(text: str) -> Tree:
    try:
        return _tree(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as exc:
        said = ' '.join(str(exc).split())
        if 'exceeded maximum nesting depth' in said:
            # libyaml's scanner runs ahead of us (PyYAML 6.0.4).
            raise _too_deep() from None
        raise ValueError(f'not YAML: {said}') from None
    except UnicodeEncodeError as exc:
        raise ValueError(f'not text: {exc.reason}') from None


class _Open:
    """A list or a mapping that is being read."""

    def __init__(self, mapping: bool) -> None:
        self.mapping = mapping
        self.values: list[Tree] = []
        self.pairs: dict[str, Tree] = {}
        self.key: str | None = None

    def add(self, value: Tree, event: yaml.Event) -> None:
        if not self.mapping:
            self.values.append(value)
        elif self.key is None:
            if not isinstance(value, str):
                raise ValueError(f'a key that is not a text{_at(event)}')
            if value in self.pairs:
                _duplicate(value, _at(event))
            self.key = value
        else:
            self.pairs[self.key] = value
            self.key = None

    def closed(self) -> Tree:
        return self.pairs if self.mapping else self.values


def _tree(events: Iterable[yaml.Event]) -> Tree:
    """Return what the events of one document build."""
    root = _Open(mapping=False)
    stack = [root]
    documents = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(
                f'an alias, *{event.anchor}{_at(event)}: write the value out'
            )
        if isinstance(event, _TAGGED) and event.tag:
            raise ValueError(f'a tag, {event.tag[:64]}{_at(event)}')
        if isinstance(event, yaml.ScalarEvent):
            stack[-1].add(_scalar(event), event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(stack) > MAX_DEPTH:
                raise _too_deep()
            stack.append(_Open(isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop().closed()
            stack[-1].add(closed, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ValueError(f'a second document{_at(event)}: want one')
    return root.values[0] if root.values else None


def _scalar(event: yaml.ScalarEvent) -> str | None:
    text: str = event.value
    if event.style:
        # Quoted, so always a text.
        return text
    if text in _NULLS:
        return None
    return _WORDS.get(text, text)


def _at(event: yaml.Event) -> str:
    mark = event.start_mark
    return '' if mark is None else f' in line {mark.line + 1}'


def _too_deep() -> ValueError:
    return ValueError(f'more than {MAX_DEPTH} levels deep')


def _duplicate(key: str, where: str = '') -> NoReturn:
    raise ValueError(
        f'the key {key[:64]!r} appears twice{where}: want it once'
    )
