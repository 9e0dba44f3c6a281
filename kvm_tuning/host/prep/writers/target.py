"""One file of /sys or /proc, under all of its names, and who writes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree

#: What stands for a part of a path that only the writing program knows.
UNKNOWN = '\N{REPLACEMENT CHARACTER}'


@dataclass(frozen=True, slots=True)
class Writer:
    """Somebody who writes a file."""

    #: The program, or the directory of its configuration.
    name: str
    #: What it does, with the file that says so.
    text: str
    #: What it writes; None: it cannot be determined.
    value: str | None = None
    #: Whether it does so at boot; a unit that is not enabled does not.
    active: bool = True


def unknown(name: str, error: InventoryUnreadable) -> Writer:
    """Return somebody who may write a file, as it cannot be read whether."""
    return Writer(name, f'it cannot be determined whether it sets it: {error}')


@dataclass(frozen=True, slots=True)
class Target:
    """A file. ``names``: its paths, relative to the root; sysfs shows the
    attributes of one device under several.
    """

    names: frozenset[str] = field(default_factory=frozenset)

    @property
    def attributes(self) -> frozenset[str]:
        """The last part of its paths."""
        return frozenset(name.rpartition('/')[2] for name in self.names)

    def meets(self, pattern: str) -> bool | None:
        """Tell whether a path or shell pattern names it; None: a part of the
        path is not known, and the rest fits.
        """
        wanted = pattern.lstrip('/').split('/')
        certain = UNKNOWN not in pattern
        for name in self.names:
            parts = name.split('/')
            if UNKNOWN in wanted[0]:
                # A variable holds the directories before this part.
                wanted_tail = wanted[1:]
                parts = parts[len(parts) - len(wanted_tail) :]
                fits = bool(wanted_tail) and _fits(parts, wanted_tail)
            else:
                fits = _fits(parts, wanted)
            if fits:
                return True if certain else None
        return False


@dataclass(frozen=True, slots=True)
class Line:
    """One write that somebody's file asks for."""

    #: A path, or a shell pattern of paths.
    path: str
    #: None: it takes back what the lines of its group before it ask for.
    writer: Writer | None
    #: Of the lines of one group for one file, the last one counts.
    group: str


def pick(lines: Iterable[Line], wanted: Target) -> list[Writer]:
    """Return who writes a file: of each group the last line that surely does,
    and those that may where none does.
    """
    sure: dict[str, Writer | None] = {}
    maybe: dict[str, Writer] = {}
    for line in lines:
        met = wanted.meets(line.path)
        if met is True:
            sure[line.group] = line.writer
        elif met is None and line.writer is not None:
            maybe.setdefault(
                line.group,
                replace(
                    line.writer,
                    text=f'{line.writer.text}, and it cannot be determined of '
                    f'which device',
                    value=None,
                ),
            )
    found = [writer for writer in sure.values() if writer is not None]
    return found + [w for group, w in maybe.items() if group not in sure]


def target(names: Iterable[str]) -> Target:
    """Return the file that has these paths."""
    return Target(frozenset(names))


def _fits(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(
        fnmatchcase(part, pattern.replace(UNKNOWN, '*'))
        for part, pattern in zip(parts, patterns, strict=True)
    )


def text(tree: Tree, path: str) -> str | None:
    """Return the text of somebody's file; None when there is none.

    :raises InventoryUnreadable: it cannot be read, or is not text.
    """
    found = tree.foreign(path)
    if found is not None and '\0' in found:
        raise InventoryUnreadable(f'{tree.root}: {path} is not UTF-8')
    return found
