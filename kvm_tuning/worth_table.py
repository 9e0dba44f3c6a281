"""What is known of the worth of each knob and each group of host settings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What a figure has to say of itself.
FIELDS = frozenset({'of', 'figure', 'source', 'trust'})
_NOTHING = 'No published figure was found.'


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure."""

    figure: str
    source: str
    trust: str


def read(
    entries: Sequence[Mapping[str, Any]], names: Iterable[str]
) -> dict[str, list[Figure]]:
    """Return the figures of each of ``names``; there are none of most.

    :param entries: what ``worth.yaml`` holds.
    :raises ValueError: an entry lacks a field, or is about something else.
    """
    found: dict[str, list[Figure]] = {name: [] for name in names}
    for entry in entries:
        if entry.keys() != FIELDS:
            wrong = ', '.join(sorted(FIELDS ^ entry.keys()))
            raise ValueError(f'{entry.get("figure")}: {wrong}')
        for name in entry['of']:
            if name not in found:
                raise ValueError(f'{name} is not a knob or a group')
            found[name].append(
                Figure(entry['figure'], entry['source'], entry['trust'])
            )
    return found


def lines(found: Mapping[str, Sequence[Figure]]) -> Iterator[str]:
    """Yield the reStructuredText about each name, by name."""
    for name in sorted(found):
        yield f'``{name}``'
        if not found[name]:
            yield from (f'   {_NOTHING}', '')
        for figure in found[name]:
            yield f'   * {figure.figure}.'
            yield f'     *Source*: {figure.source}.'
            yield f'     *Trust*: {figure.trust}.'
        yield ''
