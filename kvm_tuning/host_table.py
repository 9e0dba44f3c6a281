"""What becomes of each group of host settings, and what it still lacks.

Derived from the groups themselves and from one apply and undo of all of them
on the whole-host test; only what nothing can derive is declared in a group.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvm_tuning.host.prep.groups.group import Group


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the whole-host test, the pages and the notes show of a group."""

    #: Options that the whole-host test sets.
    options: frozenset[str] = frozenset()
    #: Kinds of the settings that it then makes; ``kernel-arguments`` too.
    kinds: frozenset[str] = frozenset()
    #: Labels of settings that nothing keeps across a reboot.
    forgotten: tuple[str, ...] = ()
    #: Files that apply has not made as its test says.
    unmade: tuple[str, ...] = ()
    #: Files that undo has left changed.
    left: tuple[str, ...] = ()
    #: Whether a section of the administrator's guide has its anchor.
    section: bool = False
    #: Whether a release note names it.
    note: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One group, with the evidence for it."""

    group: Group[Any, Any]
    evidence: Evidence


def anchor(name: str) -> str:
    """Return the anchor of a group's section in the administrator's guide."""
    return f'host-{name.replace("_", "-")}'


def rows(
    groups: Iterable[Group[Any, Any]], found: Mapping[str, Evidence]
) -> tuple[Row, ...]:
    """Return a row for each group; ``found`` has the evidence by name."""
    return tuple(
        Row(group, found.get(group.name, Evidence())) for group in groups
    )


def missing(found: Iterable[Row]) -> Iterator[str]:
    """Yield what each group lacks, one sentence each."""
    for row in found:
        for lack in (*_declared(row), *_shown(row)):
            yield f'[{row.group.name}] {lack}'


def _declared(row: Row) -> Iterator[str]:
    group = row.group
    if group.rivals is None:
        yield (
            'does not say who else sets the same: give its GROUP rivals, or '
            'NOBODY'
        )
    if not group.persisted:
        yield (
            'does not say how it is persisted: give its GROUP a sentence '
            'persisted'
        )
    if not group.undone:
        yield 'does not say how it is undone: give its GROUP a sentence undone'
    for option in group.options:
        if not (option.help or '').strip():
            yield (
                f'does not say what its option {option.dest} does: give it '
                f'help'
            )


def _shown(row: Row) -> Iterator[str]:
    group, evidence = row.group, row.evidence
    if not evidence.section:
        yield (
            f'has no section in doc/source/admin/host_settings.rst: write '
            f'one below the anchor _{anchor(group.name)}'
        )
    if not evidence.note:
        yield (
            f'has no release note: write one in releasenotes/notes that names '
            f'[{group.name}]'
        )
    unset = [o.dest for o in group.options if o.dest not in evidence.options]
    if unset:
        yield (
            f'has no whole-host test of {", ".join(unset)}: set it in '
            f'tests/host_settings/{group.name}.yaml'
        )
    elif not evidence.kinds:
        yield 'makes no setting in the whole-host test'
    for label in evidence.forgotten:
        yield f'is not persisted: a reboot forgets {label}'
    for path in evidence.unmade:
        yield (
            f'is not applied: /{path} is not as '
            f'tests/host_settings/{group.name}.yaml says'
        )
    for path in evidence.left:
        yield f'is not undone: undo has left /{path} changed'
