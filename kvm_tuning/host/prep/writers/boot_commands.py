"""Commands that others have run at boot, or when an interface comes up.

Units of systemd, /etc/rc.local, cron's @reboot, interfaces(5) of ifupdown,
modprobe.d's ``install`` lines, and the scripts that NetworkManager, ifupdown
and networkd-dispatcher run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
import re
import shlex

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.kinds import services
from kvm_tuning.host.prep.kinds.kind import UNIT
from kvm_tuning.host.prep.writers import (
    precedence,
    shell,
    target,
    unit_file,
)
from kvm_tuning.host.prep.writers.shell import Write
from kvm_tuning.host.prep.writers.target import UNKNOWN, Target, Writer

_UNITS = precedence.below('systemd/system')
_COMMANDS = (
    'ExecStartPre',
    'ExecStart',
    'ExecStartPost',
    'ExecReload',
    'ExecStop',
    'ExecStopPost',
)
_HOOKS = (
    ('NetworkManager', 'etc/NetworkManager/dispatcher.d'),
    ('NetworkManager', 'etc/NetworkManager/dispatcher.d/pre-up.d'),
    ('NetworkManager', 'usr/lib/NetworkManager/dispatcher.d'),
    ('ifupdown', 'etc/network/if-pre-up.d'),
    ('ifupdown', 'etc/network/if-up.d'),
    ('networkd-dispatcher', 'etc/networkd-dispatcher/configured.d'),
    ('networkd-dispatcher', 'etc/networkd-dispatcher/routable.d'),
    ('networkd-dispatcher', 'etc/networkd-dispatcher/carrier.d'),
    ('networkd-dispatcher', 'etc/networkd-dispatcher/degraded.d'),
    ('networkd-dispatcher', 'usr/lib/networkd-dispatcher/routable.d'),
)


def written(
    name: str, what: str, writes: Iterable[Write], wanted: Target
) -> Iterator[Writer]:
    """Yield a writer for each write that meets the file; the last value of
    one program is the one that stays.
    """
    last: Writer | None = None
    for write in writes:
        met = wanted.meets(write.path)
        if met is True:
            shown = write.value or 'what it computes'
            last = Writer(name, f'{what} writes {shown}', write.value)
        elif met is None and last is None:
            last = Writer(
                name,
                f'{what} writes '
                f'{write.path.replace(UNKNOWN, "...")[-80:]}, and it cannot '
                f'be determined of which device',
            )
    if last is not None:
        yield last


def units(tree: Tree, wanted: Target) -> Iterator[Writer]:
    """Yield the services whose commands write the file."""
    names: dict[str, None] = {}
    for directory in _UNITS:
        for entry in tree.names(directory):
            if entry.endswith('.service'):
                names[entry] = None
            elif entry.endswith(('.wants', '.requires')):
                for linked in tree.names(f'{directory}/{entry}'):
                    if linked.endswith('.service') and '@.' not in linked:
                        names[linked] = None
    for name in sorted(names):
        if name == UNIT or '@.' in name:
            continue
        settings = _unit(tree, name)
        if settings is None:
            continue
        yield from _of_unit(tree, name, settings, wanted)


def _unit(tree: Tree, name: str) -> list[unit_file.Setting] | None:
    found = unit_file.load(tree, _UNITS, name)
    if found is None and '@' in name:
        prefix, _at, _rest = name.partition('@')
        found = unit_file.load(tree, _UNITS, f'{prefix}@.service')
    return found


def _of_unit(
    tree: Tree,
    name: str,
    settings: Sequence[unit_file.Setting],
    wanted: Target,
) -> Iterator[Writer]:
    instance = name.partition('@')[2].removesuffix('.service')
    variables = dict(_environment(settings))
    lines = [
        line
        for key in _COMMANDS[:3]
        for line in unit_file.values(settings, 'Service', key)
    ]
    found = [
        write
        for line in lines
        for write in _of_line(tree, line, instance, variables)
    ]
    started = _wanted_by_others(tree, name)
    for writer in written('systemd', f'the unit {name}', found, wanted):
        if started:
            yield writer
        else:
            yield Writer(
                writer.name,
                f'{writer.text} when it is started (it is not enabled)',
                writer.value,
                active=False,
            )


def _of_line(
    tree: Tree,
    line: str,
    instance: str,
    variables: Mapping[str, Sequence[str]],
) -> Iterator[Write]:
    line = line.lstrip('-@:+!|')
    plain = re.sub(r'\\x([0-9a-f]{2})', lambda m: chr(int(m[1], 16)), instance)
    for letter, value in (('%i', instance), ('%I', plain), ('%%', '%')):
        line = line.replace(letter, value)
    # systemd leaves $$ to the shell as one sign.
    line = line.replace('$$', '$')
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    yield from shell.of_command(tree, words, variables)


def _environment(
    settings: Sequence[unit_file.Setting],
) -> Iterator[tuple[str, list[str]]]:
    for line in unit_file.values(settings, 'Service', 'Environment'):
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        for word in words:
            name, equals, value = word.partition('=')
            if equals:
                yield name, [value]


def _wanted_by_others(tree: Tree, name: str) -> bool:
    """Tell whether a unit starts at boot, or runs."""
    if services.active(tree, name):
        return True
    wanted = {name, re.sub(r'\.service\Z', '.timer', name)}
    return any(
        wanted & set(tree.names(f'{directory}/{entry}'))
        for directory in _UNITS
        for entry in tree.names(directory)
        if entry.endswith(('.wants', '.requires', '.upholds'))
    )


def scripts(tree: Tree, wanted: Target) -> Iterator[Writer]:
    """Yield the scripts of boot and of interfaces that write the file."""
    for path in ('etc/rc.local', 'etc/rc.d/rc.local'):
        found = shell.of_script(tree, f'/{path}', ['start'])
        yield from written('rc.local', f'/{path}', found, wanted)
    for name, directory in _HOOKS:
        for entry in tree.names(directory):
            path = f'/{directory}/{entry}'
            found = shell.of_script(tree, path)
            yield from written(name, path, found, wanted)
    for directory in ('etc/cron.d', 'var/spool/cron/crontabs'):
        for entry in tree.names(directory):
            yield from _cron(tree, f'{directory}/{entry}', wanted)
    yield from _cron(tree, 'etc/crontab', wanted)
    yield from _installed(tree, wanted)


def _cron(tree: Tree, path: str, wanted: Target) -> Iterator[Writer]:
    for line in (target.text(tree, path) or '').splitlines():
        match = re.match(r'\s*@reboot\s+(.*)', line)
        if match is None:
            continue
        found = [*shell.writes(match[1])]
        for word in match[1].split():
            found += shell.of_script(tree, word)
        yield from written('cron', f'/{path}', found, wanted)


def _installed(tree: Tree, wanted: Target) -> Iterator[Writer]:
    homes = precedence.below('modprobe.d')
    for path in precedence.files(tree, homes, '.conf').values():
        text = (target.text(tree, path) or '').replace('\\\n', ' ')
        for line in text.splitlines():
            match = re.match(r'\s*install\s+\S+\s+(.*)', line)
            if match:
                found = shell.writes(match[1])
                yield from written('modprobe', f'/{path}', found, wanted)


def ifupdown(tree: Tree, wanted: Target) -> Iterator[Writer]:
    """Yield the stanzas of interfaces(5) whose commands write the file."""
    waiting, seen = ['etc/network/interfaces'], set[str]()
    while waiting and len(seen) < 64:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        interface = ''
        text = (target.text(tree, path) or '').replace('\\\n', ' ')
        for raw in text.splitlines():
            line = raw.strip()
            if not line or line.startswith('#'):
                continue
            word, _space, rest = line.partition(' ')
            word, rest = word.split('\t')[0], line[len(word) :].strip()
            if word in ('source', 'source-directory'):
                waiting += _sourced(tree, word, rest)
            elif word == 'iface':
                interface = (rest.split() or [''])[0]
            elif word in ('pre-up', 'up', 'post-up'):
                known = {'IFACE': [interface]} if interface else {}
                found = list(shell.writes(rest, known))
                words = rest.split()
                found += shell.of_command(tree, words, known)
                yield from written(
                    'ifupdown',
                    f'/{path} ({word} of {interface})',
                    found,
                    wanted,
                )


def _sourced(tree: Tree, word: str, pattern: str) -> Iterator[str]:
    pattern = (
        pattern.lstrip('/')
        if pattern.startswith('/')
        else (f'etc/network/{pattern}')
    )
    if word == 'source-directory':
        pattern = f'{pattern.rstrip("/")}/*'
    directory, _slash, name = pattern.rpartition('/')
    for entry in tree.names(directory):
        if fnmatchcase(entry, name):
            yield f'{directory}/{entry}'
