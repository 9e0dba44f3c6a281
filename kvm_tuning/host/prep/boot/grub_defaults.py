"""What ``/etc/default/grub`` and its drop-ins give, in their order.

grub-mkconfig(8) sources them as shell. Debian's and its relatives' also
sources ``/etc/default/grub.d/*.cfg``, sorted by their names' bytes; GRUB's own
does not. 10_linux then starts a kernel with ``GRUB_CMDLINE_LINUX`` and after
it ``GRUB_CMDLINE_LINUX_DEFAULT``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.prep.boot import shell
from kvm_tuning.host.prep.boot.shell import NotUnderstood

MAIN = 'etc/default/grub'
DROP_INS = 'etc/default/grub.d'
ALWAYS = 'GRUB_CMDLINE_LINUX'
#: Not used for recovery entries, and last on the line.
USUAL = 'GRUB_CMDLINE_LINUX_DEFAULT'

_NAMES = (ALWAYS, USUAL, 'GRUB_DEFAULT', 'GRUB_ENABLE_BLSCFG')
_SCRIPTS = ('grub-mkconfig', 'grub2-mkconfig')
_DIRECTORIES = ('usr/sbin', 'usr/bin', 'sbin', 'usr/local/sbin')


@dataclass(frozen=True, slots=True)
class Step:
    """One assignment of a variable that matters here."""

    path: str
    name: str
    value: str
    #: Whether the former value is part of it.
    keeps: bool


@dataclass(slots=True)
class Defaults:
    """What the files set."""

    variables: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """What a kernel is started with besides its root."""
        found = (self.variables.get(name, '') for name in (ALWAYS, USUAL))
        return ' '.join(filter(None, found))

    def lost_after(self, path: str, name: str) -> str | None:
        """Return the file that sets ``name`` after ``path`` did and keeps
        nothing of it; None when none does.
        """
        own = False
        for step in self.steps:
            if step.name != name:
                continue
            if step.path == path:
                own = True
            elif own and not step.keeps:
                return step.path
        return None

    def source(self, word: str) -> str:
        """Return the file that brought ``word``."""
        for name in (ALWAYS, USUAL):
            origin = None
            for step in self.steps:
                if step.name != name:
                    continue
                if word not in step.value.split():
                    origin = None
                elif origin is None or not step.keeps:
                    origin = step.path
            if origin is not None:
                return origin
        return MAIN


def files(tree: Tree) -> list[str]:
    """Return the files that are read, in their order."""
    found = [MAIN] if tree.real(MAIN) is not None else []
    if reads_drop_ins(tree):
        found += [
            f'{DROP_INS}/{name}'
            for name in sorted(tree.names(DROP_INS), key=str.encode)
            if name.endswith('.cfg') and not name.startswith('.')
        ]
    return found


def reads_drop_ins(tree: Tree) -> bool:
    """Tell whether this host's grub-mkconfig reads drop-ins: its text says
    so. Where there is none to look at, Debian's folder tells it.
    """
    for script in _SCRIPTS:
        for directory in _DIRECTORIES:
            text = tree.foreign(f'{directory}/{script}')
            if text is not None:
                return 'default/grub.d' in text
    return not tree.names('boot/grub2')


def read(
    tree: Tree, replaced: dict[str, str | None] | None = None
) -> Defaults:
    """Return what the files give.

    :param replaced: texts that some paths are to have instead; None: the
        file is not there.
    :raises InventoryUnreadable: a file cannot be read, or does more than to
        set variables.
    """
    found = Defaults(dict.fromkeys(_NAMES, ''))
    values: dict[str, str | None] = dict(found.variables)
    for path, text in _texts(tree, replaced or {}):
        try:
            for each in shell.assignments(text, values):
                values[each.name] = each.value
                if each.name not in _NAMES:
                    continue
                if each.value is None:
                    raise NotUnderstood(
                        f'{each.name} has a value that only a shell can tell'
                    )
                found.variables[each.name] = each.value
                found.steps.append(
                    Step(path, each.name, each.value, each.keeps)
                )
        except NotUnderstood as error:
            raise InventoryUnreadable(
                f'{tree.root}: {path} cannot be understood: {error}'
            ) from None
    return found


def _texts(
    tree: Tree, replaced: dict[str, str | None]
) -> Iterator[tuple[str, str]]:
    paths = dict.fromkeys(files(tree))
    if any(path not in paths for path in replaced):
        paths |= dict.fromkeys(replaced)
        main = [MAIN] if MAIN in paths else []
        paths.pop(MAIN, None)
        rest = sorted(paths, key=str.encode)
        paths = dict.fromkeys(main + rest)
    for path in paths:
        text = replaced[path] if path in replaced else text_of(tree, path)
        if text is not None:
            yield path, text


def text_of(tree: Tree, path: str) -> str | None:
    """Return a file as the shell gets it, in whatever encoding; None when
    there is none.
    """
    raw = tree.raw(path, limit=LARGE_BYTES)
    return None if raw is None else raw.decode(errors='surrogateescape')
