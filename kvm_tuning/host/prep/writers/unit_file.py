"""Files in the syntax of systemd's units, with their drop-ins.

systemd.syntax(7): a line that ends with a backslash goes on in the next one,
comments in between aside. systemd.unit(5): drop-ins of all directories are
read after the file itself, in the order of their names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.writers import precedence, target


@dataclass(frozen=True, slots=True)
class Setting:
    """A line ``key=value`` of a section; ``part`` counts the sections."""

    section: str
    key: str
    value: str
    path: str
    part: int


def load(
    tree: Tree, directories: Sequence[str], name: str
) -> list[Setting] | None:
    """Return the settings of a file and its drop-ins, in order; None when
    there is no such file, or it is masked.

    :raises InventoryUnreadable: one of them is not text.
    """
    for directory in directories:
        if name in tree.names(directory):
            path = f'{directory}/{name}'
            break
    else:
        return None
    if precedence.masked(tree, path):
        return None
    found = list(parse(tree, path))
    homes = [f'{directory}/{name}.d' for directory in directories]
    for more in precedence.files(tree, homes, '.conf').values():
        found += parse(tree, more, len(found) + 1)
    return found


def parse(tree: Tree, path: str, start: int = 0) -> Iterator[Setting]:
    """Yield the settings of one file.

    :param start: the number of its first section.
    :raises InventoryUnreadable: it is not text.
    """
    section, part = '', start
    text = target.text(tree, path) or ''
    seen = False
    for line in _lines(text):
        if line.startswith('[') and line.endswith(']'):
            section, part, seen = line[1:-1], part + 1, True
            continue
        key, equals, value = line.partition('=')
        if equals and section:
            yield Setting(section, key.strip(), value.strip(), path, part)
    if not seen and '\N{REPLACEMENT CHARACTER}' in text:
        raise InventoryUnreadable(f'{tree.root}: {path} is not UTF-8')


def _lines(text: str) -> Iterator[str]:
    pieces: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(('#', ';')):
            continue
        if line.endswith('\\'):
            pieces.append(line[:-1])
            continue
        yield ' '.join([*pieces, line]).strip()
        pieces = []
    if pieces:
        yield ' '.join(pieces).strip()


def values(settings: Sequence[Setting], section: str, key: str) -> list[str]:
    """Return the values of a list option: an empty one clears those before
    it.
    """
    found: list[str] = []
    for setting in settings:
        if (setting.section, setting.key) == (section, key):
            found = [*found, setting.value] if setting.value else []
    return found
