"""Files of configuration that write /sys and /proc at boot.

sysctl.d(5), tmpfiles.d(5), and sysfs.conf of sysfsutils. Of several lines for
one file the last one counts, in the order of the files' names.
"""

from collections.abc import Iterator

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.kinds import command_line
from kvm_tuning.host.prep.writers import precedence, target
from kvm_tuning.host.prep.writers.target import Target, Writer


def sysctl(tree: Tree, wanted: Target) -> Iterator[Writer]:
    """Yield the line of sysctl.d that counts, and one of /etc/sysctl.conf,
    which sysctl(8) reads and systemd does not.
    """
    last: dict[str, Writer] = {}
    excluded: set[str] = set()
    listed = precedence.files(tree, precedence.below('sysctl.d'), '.conf')
    paths = list(listed.values())
    if not any(tree.real(p) == 'etc/sysctl.conf' for p in paths):
        paths.append('etc/sysctl.conf')
    for path in paths:
        for key, value in _assignments(tree, path):
            name = 'proc/sys/' + _sysctl_path(key.lstrip('-'))
            if value is None:
                if key.startswith('-'):
                    excluded.add(name)
                continue
            if wanted.meets(name):
                glob = any(sign in name for sign in '*?[')
                if glob and excluded & wanted.names:
                    continue
                last.pop(name, None)
                last[name] = Writer(
                    'sysctl', f'/{path} sets {key.lstrip("-")}={value}', value
                )
    literal = [w for name, w in last.items() if name in wanted.names]
    found = (literal or list(last.values()))[-1:]
    # The kernel's own, before all others (kernel-parameters.txt).
    for name in wanted.names:
        if name.startswith('proc/sys/'):
            key = 'sysctl.' + name.removeprefix('proc/sys/').replace('/', '.')
            text = tree.text('proc/cmdline') or ''
            argument = command_line.value(text, key)
            if argument is not None:
                yield Writer(
                    'kernel command line', f'{key}={argument}', argument
                )
    yield from found


def _sysctl_path(key: str) -> str:
    """Return the path of a key: the first separator is the one of paths."""
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


def tmpfiles(tree: Tree, wanted: Target) -> Iterator[Writer]:
    """Yield the last line of tmpfiles.d that writes the file (``f`` leaves
    one that is there as it is).
    """
    homes = precedence.below('tmpfiles.d')
    last: Writer | None = None
    for path in precedence.files(tree, homes, '.conf').values():
        for raw in (target.text(tree, path) or '').splitlines():
            words = raw.split(None, 6)
            if len(words) < 7 or words[0].startswith('#'):
                continue
            kind = words[0]
            writes = kind[0] in 'wF' or kind.startswith('f+')
            if writes and wanted.meets(words[1].strip('"')):
                last = Writer(
                    'tmpfiles.d',
                    f'/{path} writes {words[6]}',
                    words[6],
                )
    if last is not None:
        yield last


def sysfs_conf(tree: Tree, wanted: Target) -> Iterator[Writer]:
    """Yield the last line of sysfs.conf or sysfs.d that sets the file."""
    paths = ['etc/sysfs.conf'] + [
        f'etc/sysfs.d/{name}'
        for name in tree.names('etc/sysfs.d')
        if name.endswith('.conf')
    ]
    last: Writer | None = None
    for path in paths:
        for key, value in _assignments(tree, path):
            words = key.split()
            if value is None or len(words) != 1:
                # "mode" and "owner" lines set no value.
                continue
            name = words[0].removeprefix('/sys').lstrip('/')
            if wanted.meets(f'sys/{name}'):
                last = Writer(
                    'sysfsutils', f'/{path} sets {words[0]}={value}', value
                )
    if last is not None:
        yield last
