"""Commands that others have run at boot, or when an interface comes up.

Units of systemd, /etc/rc.local, cron's @reboot, modprobe.d's ``install``
lines, and the scripts that NetworkManager, ifupdown and networkd-dispatcher
run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from kvm_tuning.host.prep.writers.target import UNKNOWN, Line, Writer

_UNITS = precedence.below('systemd/system')
_COMMANDS = ('ExecStartPre', 'ExecStart', 'ExecStartPost')
_BELOW = ('/sys/', '/proc/')
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


def lines(
    name: str, what: str, writes: Iterable[Write], active: bool = True
) -> Iterator[Line]:
    """Yield a line for each write below /sys and /proc."""
    for write in writes:
        if UNKNOWN in write.path or write.path.startswith(_BELOW):
            shown = write.value or 'a value of its own'
            more = '' if active else ' when it is started (it is not enabled)'
            text = f'{what} writes {shown}{more}'
            writer = Writer(name, text, write.value, active)
            yield Line(write.path, writer, f'{name} {what}')


def units(tree: Tree) -> Iterator[Line]:
    """Yield what the commands of services write."""
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
        yield from _of_unit(tree, name, settings)


def _unit(tree: Tree, name: str) -> list[unit_file.Setting] | None:
    found = unit_file.load(tree, _UNITS, name)
    if found is None and '@' in name:
        prefix, _at, _rest = name.partition('@')
        found = unit_file.load(tree, _UNITS, f'{prefix}@.service')
    return found


def _of_unit(
    tree: Tree, name: str, settings: Sequence[unit_file.Setting]
) -> Iterator[Line]:
    instance = name.partition('@')[2].removesuffix('.service')
    variables = dict(_environment(settings))
    found = [
        write
        for key in _COMMANDS
        for line in unit_file.values(settings, 'Service', key)
        for write in _of_line(tree, line, instance, variables)
    ]
    if found:
        started = _wanted_by_others(tree, name)
        yield from lines('systemd', f'the unit {name}', found, started)


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


def scripts(tree: Tree) -> Iterator[Line]:
    """Yield what the scripts of boot and of interfaces write."""
    for path in ('etc/rc.local', 'etc/rc.d/rc.local'):
        found = shell.of_script(tree, f'/{path}', ['start'])
        yield from lines('rc.local', f'/{path}', found)
    for name, directory in _HOOKS:
        for entry in tree.names(directory):
            path = f'/{directory}/{entry}'
            yield from lines(name, path, shell.of_script(tree, path))
    for directory in ('etc/cron.d', 'var/spool/cron/crontabs'):
        for entry in tree.names(directory):
            yield from _cron(tree, f'{directory}/{entry}')
    yield from _cron(tree, 'etc/crontab')
    yield from _installed(tree)


def _cron(tree: Tree, path: str) -> Iterator[Line]:
    for line in (target.text(tree, path) or '').splitlines():
        match = re.match(r'\s*@reboot\s+(.*)', line)
        if match is None:
            continue
        found = [*shell.writes(match[1])]
        for word in match[1].split():
            found += shell.of_script(tree, word)
        yield from lines('cron', f'/{path}', found)


def _installed(tree: Tree) -> Iterator[Line]:
    homes = precedence.below('modprobe.d')
    for path in precedence.files(tree, homes, '.conf').values():
        text = (target.text(tree, path) or '').replace('\\\n', ' ')
        for line in text.splitlines():
            match = re.match(r'\s*install\s+\S+\s+(.*)', line)
            if match:
                yield from lines(
                    'modprobe', f'/{path}', shell.writes(match[1])
                )
