"""One file of /sys or /proc, under all of its names, and who writes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
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
