"""Files of configuration that write /sys and /proc at boot.

sysctl.d(5), tmpfiles.d(5), and sysfs.conf of sysfsutils. Of several lines for
one file the last one counts, in the order of the files' names.
"""

from collections.abc import Iterator

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.kinds import command_line
from kvm_tuning.host.prep.writers import precedence, target
from kvm_tuning.host.prep.writers.target import Line, Writer

_SYSCTL = '/proc/sys/'
_MAIN = 'etc/sysctl.conf'


def sysctl(tree: Tree) -> Iterator[Line]:
    """Yield the lines of sysctl.d, and those of /etc/sysctl.conf, which
    sysctl(8) reads and systemd does not. A line for one key goes before a
    pattern of keys, wherever it stands.
    """
    for word in command_line.words(tree.text('proc/cmdline') or ''):
        key, _equals, value = word.partition('=')
        if key.startswith('sysctl.'):
            path = _SYSCTL + sysctl_path(key.removeprefix('sysctl.'))
            writer = Writer('kernel command line', word, value)
            yield Line(path, writer, 'kernel command line')
    listed = precedence.files(tree, precedence.below('sysctl.d'), '.conf')
    paths = list(listed.values())
    found = [line for path in paths for line in _settings(tree, path)]
    yield from (line for line in found if _is_pattern(line.path))
    yield from (line for line in found if not _is_pattern(line.path))
    if not any(tree.real(path) == _MAIN for path in paths):
        yield from _settings(tree, _MAIN)


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in '*?[')


def _settings(tree: Tree, path: str) -> Iterator[Line]:
    group = 'sysctl.conf' if path == _MAIN else 'sysctl.d'
    for key, value in _assignments(tree, path):
        name = key.removeprefix('-')
        place = _SYSCTL + sysctl_path(name)
        if value is not None:
            writer = Writer('sysctl', f'/{path} sets {name}={value}', value)
            yield Line(place, writer, group)
        elif key.startswith('-'):
            yield Line(place, None, group)


def sysctl_path(key: str) -> str:
    """Return the path of a key: its first separator is the one of paths."""
    for sign in key:
        if sign == '/':
            return key
        if sign == '.':
            return key.translate(str.maketrans('./', '/.'))
    return key


def _assignments(tree: Tree, path: str) -> Iterator[tuple[str, str | None]]:
    for raw in (target.text(tree, path) or '').splitlines():
        line = raw.strip()
        if not line or line.startswith(('#', ';')):
            continue
        key, equals, value = line.partition('=')
        yield key.strip(), value.strip() if equals else None


def tmpfiles(tree: Tree) -> Iterator[Line]:
    """Yield the lines of tmpfiles.d that write a file that is there (``f``
    leaves it as it is).
    """
    homes = precedence.below('tmpfiles.d')
    for path in precedence.files(tree, homes, '.conf').values():
        for raw in (target.text(tree, path) or '').splitlines():
            words = raw.split(None, 6)
            if len(words) < 7 or words[0].startswith('#'):
                continue
            kind, place, value = words[0], words[1].strip('"'), words[6]
            if kind[0] in 'wF' or kind.startswith('f+'):
                writer = Writer('tmpfiles.d', f'/{path} writes {value}', value)
                yield Line(place, writer, 'tmpfiles.d')


def sysfs_conf(tree: Tree) -> Iterator[Line]:
    """Yield the lines of sysfs.conf and sysfs.d that set a value; ``mode``
    and ``owner`` lines set none.
    """
    paths = ['etc/sysfs.conf'] + [
        f'etc/sysfs.d/{name}'
        for name in tree.names('etc/sysfs.d')
        if name.endswith('.conf')
    ]
    for path in paths:
        for key, value in _assignments(tree, path):
            if value is not None and len(key.split()) == 1:
                name = key.removeprefix('/sys').lstrip('/')
                text = f'/{path} sets {key}={value}'
                writer = Writer('sysfsutils', text, value)
                yield Line(f'/sys/{name}', writer, 'sysfsutils')
