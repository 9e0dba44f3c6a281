"""Read a document so that each value is what its author wrote.

YAML 1.1 gives plain words types: ``on`` as a key is true, ``2024-01-02`` a
date, ``010`` the number 8. A document goes to other programs as JSON, which
cannot carry all of them, and a value that silently became another one is worse
than an error: both are refused, with the key.
"""

from collections.abc import Iterator
import json
import math
import re
from typing import Any

import yaml

from kvm_tuning.core.exceptions import ConfigInvalid

_TAG = 'tag:yaml.org,2002:'
#: Types that JSON has, and a merge of mappings.
_TYPES = frozenset(
    _TAG + name
    for name in ('map', 'seq', 'str', 'int', 'float', 'bool', 'null', 'merge')
)
#: Numbers that are read the same everywhere.
_NUMBERS = {
    f'{_TAG}int': re.compile(r'[-+]?(0|[1-9][0-9]*)'),
    f'{_TAG}float': re.compile(r'[-+]?[0-9]+\.[0-9]*([eE][-+]?[0-9]+)?'),
}


def read(text: str, key: str) -> Any:
    """Return what a document in YAML or JSON holds.

    :param key: what the document is below, for messages.
    :raises ConfigInvalid: it is neither, or has values that would be taken
        for others: each with its key.
    """
    if text.lstrip()[:1] in ('{', '['):
        # YAML takes most of JSON, but not all: no pairs of surrogates.
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        wrong = [] if node is None else list(_ambiguous(node, key, ()))
        if wrong:
            raise ConfigInvalid('; '.join(wrong))
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigInvalid(
            f'the document cannot be parsed: {" ".join(str(error).split())}'
        ) from error


def foreign(value: object, key: str) -> Iterator[str]:
    """Yield what is wrong with each value that JSON does not have."""
    if isinstance(value, dict):
        for name, below in value.items():
            if isinstance(name, str):
                yield from foreign(below, f'{key}.{name}')
            else:
                yield f'{key}.{name} is not a text: write the key in quotes'
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from foreign(each, f'{key}.{number}')
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f'{key} = {value}: want a finite number'
    elif not (value is None or isinstance(value, str | int)):
        yield (
            f'{key} = {value} is read as a {type(value).__name__}: write the '
            f'value in quotes'
        )


def _ambiguous(
    node: yaml.Node, key: str, above: tuple[yaml.Node, ...]
) -> Iterator[str]:
    """Yield what is wrong with each node that is not read as written."""
    line = node.start_mark.line + 1
    if any(node is each for each in above):
        yield f'{key} in line {line} contains itself'
    elif isinstance(node, yaml.MappingNode):
        yield from _ambiguous_pairs(node, key, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            yield from _ambiguous(each, f'{key}.{number}', (*above, node))
    number_ = _NUMBERS.get(node.tag)
    if number_ and not number_.fullmatch(node.value):
        yield (
            f'{key} = {node.value} in line {line} is read as '
            f'{yaml.safe_load(node.value)}: write that, or the text in quotes'
        )
    elif node.tag not in _TYPES:
        kind = node.tag.removeprefix(_TAG)
        yield (
            f'{key} = {_shown(node)} in line {line} is read as a {kind}: '
            f'write the value in quotes'
        )


def _ambiguous_pairs(
    node: yaml.MappingNode, key: str, above: tuple[yaml.Node, ...]
) -> Iterator[str]:
    seen = set()
    for name, value in node.value:
        line = name.start_mark.line + 1
        if name.tag == f'{_TAG}merge':
            yield from _ambiguous(value, key, above)
            continue
        if not isinstance(name, yaml.ScalarNode) or name.tag != f'{_TAG}str':
            yield (
                f'{key}.{_shown(name)} in line {line} is not a text: write '
                f'the key in quotes'
            )
            continue
        if name.value in seen:
            yield f'{key}.{name.value} appears twice, again in line {line}'
        seen.add(name.value)
        yield from _ambiguous(value, f'{key}.{name.value}', above)


def _shown(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else '...'
