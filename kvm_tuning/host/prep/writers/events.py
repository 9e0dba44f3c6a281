"""Rules of udev's that write a file: at a device's events, or by its path."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import re
import shlex

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.kinds.udev import PATH as OUR_RULES
from kvm_tuning.host.prep.writers import shell, udev_events, udev_rules
from kvm_tuning.host.prep.writers.shell import Write
from kvm_tuning.host.prep.writers.target import (
    UNKNOWN,
    Line,
    Target,
    Writer,
    unknown,
)
from kvm_tuning.host.prep.writers.udev_events import Act, Device
from kvm_tuning.host.prep.writers.udev_rules import Rule

_DATABASE = 'run/udev/data'
_BUILTIN = re.compile(r'builtin\Z')


def properties(tree: Tree, key: str) -> dict[str, str] | None:
    """Return what udev's database has of a device; None: nothing.

    :param key: ``n3`` for a network interface by its index, ``b8:0`` for a
        block device, ``+pci:0000:41:00.0`` for others.
    """
    text = tree.foreign(f'{_DATABASE}/{key}')
    if text is None:
        return None
    found = {}
    for line in text.splitlines():
        name, equals, value = line.removeprefix('E:').partition('=')
        if line.startswith('E:') and equals:
            found[name] = value
    return found


def of_devices(
    tree: Tree, wanted: Target, devices: Iterable[Device], after: str = ''
) -> Iterator[Writer]:
    """Yield the rules that write the file at an event of a device: of those
    that surely do, the last one. A device that cannot be read may have any.

    :param after: a file of rules; those before it do not count.
    :raises InventoryUnreadable: the rules cannot be read.
    """
    first = after.rpartition('/')[2]
    rules = udev_rules.read(tree, OUR_RULES)
    found: dict[tuple[str, int], Writer] = {}
    for device in devices:
        try:
            for writer, rule in _of_device(tree, wanted, device, rules, first):
                found.setdefault((rule.path, rule.line), writer)
        except InventoryUnreadable as error:
            yield unknown('udev', error)
    yield from found.values()


def _of_device(
    tree: Tree,
    wanted: Target,
    device: Device,
    rules: Sequence[Rule],
    first: str,
) -> Iterator[tuple[Writer, Rule]]:
    for action in udev_events.ACTIONS:
        acts = [
            act
            for act in udev_events.run(rules, device, action)
            if act.kind == 'RUN' or act.rule.name > first
        ]
        yield from _last(tree, wanted, acts)


def _last(
    tree: Tree, wanted: Target, acts: list[Act]
) -> Iterator[tuple[Writer, Rule]]:
    """Yield the last sure write, and those after it that may happen."""
    kept: list[tuple[Writer, Rule]] = []
    # udev runs programs when all rules are through.
    for act in sorted(acts, key=lambda a: a.kind == 'RUN'):
        for write in _writes(tree, act):
            met = wanted.meets(write.path)
            if met is False:
                continue
            if act.certain and met:
                kept = []
            kept.append((_writer(act, write, bool(met)), act.rule))
    yield from kept


def _writes(tree: Tree, act: Act) -> Iterator[Write]:
    if act.kind != 'RUN':
        value = None if UNKNOWN in act.value else act.value
        yield Write(act.path, value)
        return
    try:
        words = shlex.split(act.value)
    except ValueError:
        words = act.value.split()
    if words and not words[0].startswith('/'):
        # udev(7): programs that are not named in full are its own.
        words[0] = f'/usr/lib/udev/{words[0]}'
    yield from shell.of_command(tree, words)


def _writer(act: Act, write: Write, sure: bool) -> Writer:
    where = f'a rule in /{act.rule.path} (line {act.rule.line})'
    does = 'sets' if act.certain and sure else 'may set'
    name = write.path.rpartition('/')[2].replace(UNKNOWN, '...')
    shown = '' if write.value is None else f'={write.value}'
    return Writer('udev', f'{where} {does} {name}{shown}', write.value)


def of_paths(tree: Tree) -> Iterator[Line]:
    """Yield the files that rules name in full, whatever device they are
    for.
    """
    for rule in udev_rules.read(tree, OUR_RULES):
        for act in _acts(rule):
            for write in _writes(tree, act):
                if write.path.startswith(('/sys/', '/proc/')):
                    writer = _writer(act, write, True)
                    yield Line(write.path, writer, f'udev {rule.path}')


def _acts(rule: Rule) -> Iterator[Act]:
    for token in rule.tokens:
        if token.is_match:
            continue
        if token.key == 'RUN' and not _BUILTIN.match(token.attribute):
            yield Act('RUN', '', token.value, rule, True)
        elif token.key == 'SYSCTL':
            name = token.attribute.replace('.', '/')
            path = f'/proc/sys/{name}'
            yield Act('SYSCTL', path, token.value, rule, True)
        elif token.key == 'ATTR' and token.attribute.startswith('/'):
            yield Act('ATTR', token.attribute, token.value, rule, True)


def known(
    tree: Tree, key: str, given: Mapping[str, str]
) -> tuple[dict[str, str], bool]:
    """Return a device's properties, and whether they are all."""
    recorded = properties(tree, key)
    return {**given, **(recorded or {})}, recorded is not None
