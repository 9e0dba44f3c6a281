"""``[transparent_huge_pages]``: mode, defragmentation, khugepaged.

See the kernel's Documentation/admin-guide/mm/transhuge.rst. A mode applies to
memory touched from then on: running guests keep the pages they have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
import re
from typing import Any

from oslo_config import cfg

from kvm_tuning.host.access import attribute
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    Goal,
    Item,
    Note,
    Refusal,
    Value,
    When,
    sysfs,
)
from kvm_tuning.host.prep.groups.group import Group, Rivals
from kvm_tuning.host.prep.kinds import command_line

CONCERN = 'transparent_huge_pages'
DIRECTORY = 'sys/kernel/mm/transparent_hugepage'
_SIZE = re.compile(r'hugepages-(\d{1,9})kB')

#: The file of each option, below :data:`DIRECTORY`.
FILES = {
    'enabled': 'enabled',
    'defrag': 'defrag',
    'khugepaged_defrag': 'khugepaged/defrag',
}

_REASONS = {
    'enabled': 'sets which memory gets huge pages when it is touched',
    'defrag': 'sets how hard a page fault tries to get a huge page',
    'khugepaged_defrag': 'sets whether khugepaged compacts memory',
}

OPTIONS = (
    cfg.StrOpt(
        'enabled',
        choices=('always', 'madvise', 'never'),
        help="""
Which memory gets transparent huge pages. QEMU asks for them for its guests'
memory, so ``madvise`` is enough for guests. It is in force for memory that is
touched later: restart guests to have them profit. Unset: not touched.
""",
    ),
    cfg.StrOpt(
        'defrag',
        choices=('always', 'defer', 'defer+madvise', 'madvise', 'never'),
        help="""
What a page fault does when no huge page is free: wait until memory has been
compacted (``always``, or ``madvise`` for those who asked), or take small
pages and leave it to the background (``defer``). Waiting makes guests start
slower and run faster. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'khugepaged_defrag',
        help="""
Whether khugepaged, which turns small pages into huge ones later, may compact
memory for it. Unset: not touched.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted values; None: not configured."""

    enabled: str | None = None
    defrag: str | None = None
    khugepaged_defrag: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The kernel's present values."""

    #: File below :data:`DIRECTORY` to (value in force, all values).
    files: dict[str, tuple[Value, tuple[str, ...]]]
    #: ``transparent_hugepage=`` on the kernel's command line.
    argument: Value
    #: The mode of each size of its own, by KiB (kernels from 6.8 on).
    modes: Mapping[int, Value]
    #: KiB that one entry of the page table's middle level maps: 2048 with
    #: pages of 4 KiB, 32768 with 16, 524288 with 64 (arm64).
    pmd_kib: int


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing."""
    group = conf.transparent_huge_pages
    khugepaged = group.khugepaged_defrag
    found = Wanted(
        group.enabled,
        group.defrag,
        None if khugepaged is None else str(int(khugepaged)),
    )
    return None if found == Wanted() else found


def read(host: Host) -> State:
    """Read the kernel's present values."""
    files = {}
    for name in FILES.values():
        text = host.tree.text(f'{DIRECTORY}/{name}')
        if text is not None:
            files[name] = _choice(text)
    modes = {}
    for name in host.tree.names(DIRECTORY):
        match = _SIZE.fullmatch(name)
        own = host.tree.text(f'{DIRECTORY}/{name}/enabled') if match else None
        if match and own is not None:
            modes[int(match[1])] = _choice(own)[0]
    return State(
        files,
        command_line.value(host.command_line, 'transparent_hugepage'),
        modes,
        _pmd_kib(host),
    )


def _pmd_kib(host: Host) -> int:
    """Return the size that khugepaged collapses memory to. A page table is
    one page of entries of eight bytes.
    """
    shown = host.tree.number(f'{DIRECTORY}/hpage_pmd_size')
    page_kib = host.inventory.page_size_kib
    return shown // 1024 if shown else page_kib * page_kib * 1024 // 8


def _choice(text: str) -> tuple[Value, tuple[str, ...]]:
    chosen, options = attribute.choice(text)
    return (text, ()) if chosen is None else (chosen, options)


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals, notes and refusals for ``wanted``."""
    asked = {f.name: getattr(wanted, f.name) for f in fields(wanted)}
    asked = {name: value for name, value in asked.items() if value is not None}
    if asked and 'enabled' not in state.files:
        yield Note(
            CONCERN, 'n/a: this kernel does not have transparent huge pages'
        )
        return
    for name, value in asked.items():
        yield from _one(name, value, state)
    if wanted.enabled is not None:
        yield from _notes(wanted.enabled, state)


def _one(name: str, value: str, state: State) -> Iterator[Goal | Item]:
    found, values = state.files.get(FILES[name], (None, ()))
    if found is None:
        yield Note(CONCERN, f'n/a: {name}: this kernel does not have the file')
    elif values and value not in values:
        yield Refusal(
            CONCERN,
            name,
            f'this kernel does not know {value!r}; it knows '
            f'{", ".join(values)}',
        )
    else:
        yield sysfs(
            CONCERN,
            f'{DIRECTORY}/{FILES[name]}',
            found,
            value,
            _REASONS[name],
            title=f'THP {name}',
            when=When.NEW_GUESTS,
        )


def _notes(enabled: str, state: State) -> Iterator[Note]:
    if state.argument is not None and state.argument != enabled:
        yield Note(
            CONCERN,
            f'the kernel was started with transparent_hugepage='
            f'{state.argument}: the mode is {state.argument} from boot until '
            f'host-prep has run, and TuneD does not change it',
        )
    for size, mode in sorted(state.modes.items()):
        # "never" is what sizes below the PMD's have from boot on.
        unused = mode == 'never' and size != state.pmd_kib
        if mode not in ('inherit', enabled) and not unused:
            yield Note(
                CONCERN,
                f'pages of {size} KiB have a mode of their own, {mode}: '
                f'enabled = {enabled} does not apply to them; they follow it '
                f'once inherit is in /{DIRECTORY}/hugepages-{size}kB/enabled',
            )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(
        tuned=r'transparent_hugepages?\s*=|/transparent_huge',
        arguments=('transparent_hugepage', 'thp_anon'),
        attributes=(rf'{DIRECTORY}/(enabled|defrag|khugepaged/defrag)',),
    ),
    persisted='the unit, at each boot',
    undone='the former words',
)
