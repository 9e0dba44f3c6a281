"""What udev's rules do with a device: a run of them in thought.

udev(7). A match that depends on what only udev knows (a program's result, a
property that no file shows) is neither met nor failed: what comes of it may
happen. Nothing is run and nothing is written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
import re

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.kinds import command_line
from kvm_tuning.host.prep.writers.target import UNKNOWN
from kvm_tuning.host.prep.writers.udev_rules import Rule, Token

#: Events after which a device's attributes may be written.
ACTIONS = ('add', 'bind', 'change', 'move', 'online')
_PCI = re.compile(r'[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z')
_OF_PARENTS = ('KERNELS', 'SUBSYSTEMS', 'DRIVERS', 'ATTRS', 'TAGS')
# What udev's builtins and the kernel set; other properties are set by rules.
_GIVEN = re.compile(
    r'ID_|DM_|MD_|SCSI_|FC_|SAS_|NVME_|DEV|MAJOR|MINOR|SYSTEMD'
)
_BRACKETED = re.compile(r'\[([^/\]]+)/([^\]]+)\](.*)')
_LONG = {
    'kernel': 'k',
    'number': 'n',
    'devpath': 'p',
    'id': 'b',
    'driver': 'd',
    'attr': 's',
    'env': 'E',
    'result': 'c',
    'sys': 'S',
    'name': 'D',
    'devnode': 'N',
    'parent': 'P',
    'links': 'L',
    'root': 'r',
    'major': 'M',
    'minor': 'm',
}
_SUBSTITUTION = re.compile(
    r'\$\$|%%|(?:\$(' + '|'.join(sorted(_LONG, key=len, reverse=True)) + r')'
    r'|%([knpbdsEcSDNPLrMm]))(?:\{([^}]*)\})?'
)

#: True, False, or None: it cannot be known.
Verdict = bool | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device; ``real`` is its directory, relative to the root."""

    tree: Tree
    real: str
    subsystem: str
    #: Its properties as far as they are known.
    properties: Mapping[str, str] = field(default_factory=dict)
    #: Whether it has no others: udev's database was read.
    complete: bool = False

    @property
    def name(self) -> str:
        return self.real.rpartition('/')[2].replace('!', '/')

    @property
    def driver(self) -> str:
        return self.tree.link_name(f'{self.real}/driver') or ''

    def attribute(self, name: str) -> str | None:
        """Return an attribute; a link's is the name that it leads to."""
        linked = self.tree.link_name(f'{self.real}/{name}')
        if linked is not None:
            return linked
        return self.tree.text(f'{self.real}/{name}')


@dataclass(frozen=True, slots=True)
class Act:
    """What a rule does: ``kind`` is ATTR, SYSCTL or RUN, ``path`` what it
    writes (none for RUN), ``value`` what, or the command.
    """

    kind: str
    path: str
    value: str
    rule: Rule
    certain: bool


def run(rules: Sequence[Rule], device: Device, action: str) -> list[Act]:
    """Return what the rules do with a device at an event, in order."""
    return _Run(device, action).all(rules)


class _Run:
    def __init__(self, device: Device, action: str) -> None:
        self._device = device
        self._action = action
        # None: it was set to something unknown.
        self._env: dict[str, str | None] = dict(device.properties)
        self._tags: set[str] = set()
        self._name: str | None = None
        self._acts: list[Act] = []
        self._parents = list(_chain(device))

    def all(self, rules: Sequence[Rule]) -> list[Act]:
        label, sure = '', True
        jumped_from = ''
        for rule in rules:
            if label and rule.path != jumped_from:
                label, sure = '', True
            if label and rule.value('LABEL') == label:
                label, sure = '', True
            if label and sure:
                continue
            verdict = self._meets(rule)
            if verdict is False:
                continue
            certain = verdict is True and not (label and not sure)
            self._apply(rule, certain)
            goto = rule.value('GOTO')
            if goto and not label:
                label, sure, jumped_from = goto, certain, rule.path
        return self._acts

    def _meets(self, rule: Rule) -> Verdict:
        verdict: Verdict = True
        above = [t for t in rule.tokens if t.key in _OF_PARENTS]
        for token in rule.tokens:
            if token in above:
                continue
            found = self._match(token)
            if found is False:
                return False
            if found is None:
                verdict = None
        if above:
            found = _any(
                _all(self._match_parent(t, parent) for t in above)
                for parent in self._parents
            )
            if found is not True:
                return found
        return verdict

    def _match(self, token: Token) -> Verdict:
        if token.key == 'PROGRAM' or token.key == 'IMPORT':
            return self._import(token)
        if not token.is_match and token.key != 'TEST':
            return True
        device = self._device
        plain = {
            'ACTION': self._action,
            'DEVPATH': '/' + device.real.removeprefix('sys/'),
            'KERNEL': device.name,
            'SUBSYSTEM': device.subsystem,
            'DRIVER': device.driver,
        }
        if token.key in plain:
            return _compare(token, plain[token.key])
        if token.key == 'ENV':
            return self._match_property(token)
        if token.key == 'ATTR':
            return _attribute(token, device, self.expand(token.attribute))
        if token.key == 'TEST':
            return self._test(token)
        if token.key == 'TAG':
            held = any(_fits(token, tag) for tag in self._tags)
            return held == (token.operator == '==')
        if token.key == 'SYSCTL':
            name = token.attribute.replace('.', '/')
            value = device.tree.text(f'proc/sys/{name}')
            return False if value is None else _compare(token, value)
        # NAME, SYMLINK, RESULT, CONST and what later versions add.
        return None

    def _match_parent(self, token: Token, parent: Device) -> Verdict:
        if token.key == 'KERNELS':
            return _compare(token, parent.name)
        if token.key == 'SUBSYSTEMS':
            return _compare(token, parent.subsystem)
        if token.key == 'DRIVERS':
            return _compare(token, parent.driver)
        if token.key == 'ATTRS':
            return _attribute(token, parent, self.expand(token.attribute))
        return None

    def _match_property(self, token: Token) -> Verdict:
        name = token.attribute
        if name in self._env:
            value = self._env[name]
            return None if value is None else _compare(token, value)
        if not self._device.complete and _GIVEN.match(name):
            return None
        return _compare(token, '')

    def _import(self, token: Token) -> Verdict:
        if token.key == 'IMPORT' and token.attribute == 'builtin':
            return True
        if token.key == 'IMPORT' and token.attribute == 'cmdline':
            text = self._device.tree.text('proc/cmdline') or ''
            value = command_line.value(text, token.value)
            held = value is not None or token.value in text.split()
            if held:
                self._env[token.value] = value or '1'
            return held == (token.operator != '!=')
        return None

    def _test(self, token: Token) -> Verdict:
        path = self.expand(token.value)
        if UNKNOWN in path:
            return None
        held = bool(_glob(self._device.tree, self._place(path)))
        return held == (token.operator != '!=')

    def _place(self, name: str) -> str:
        """Return the path, relative to the root, of an attribute's name."""
        match = _BRACKETED.match(name)
        if match:
            subsystem, device, attribute = match.groups()
            base = {
                'net': f'sys/class/net/{device}',
                'module': f'sys/module/{device}',
            }.get(subsystem, f'sys/bus/{subsystem}/devices/{device}')
            return f'{base}/{attribute.lstrip("/")}'
        if name.startswith('/'):
            return name.lstrip('/')
        return f'{self._device.real}/{name}'

    def _apply(self, rule: Rule, certain: bool) -> None:
        for token in rule.tokens:
            if token.is_match:
                continue
            value = self.expand(token.value)
            if token.key == 'ENV':
                known = certain and UNKNOWN not in value
                self._env[token.attribute] = value if known else None
            elif token.key == 'TAG' and certain:
                change = (
                    self._tags.discard
                    if token.operator == '-='
                    else self._tags.add
                )
                change(value)
            elif token.key == 'RUN':
                if token.operator in ('=', ':=') and certain:
                    self._acts = [a for a in self._acts if a.kind != 'RUN']
                if token.operator != '-=':
                    self._acts.append(Act('RUN', '', value, rule, certain))
            elif token.key == 'ATTR':
                path = self._place(self.expand(token.attribute))
                self._acts.append(Act('ATTR', path, value, rule, certain))
            elif token.key == 'SYSCTL':
                name = self.expand(token.attribute).replace('.', '/')
                self._acts.append(
                    Act('SYSCTL', f'proc/sys/{name}', value, rule, certain)
                )

    def expand(self, text: str) -> str:
        """Replace ``$kernel``, ``%k``, ``$env{NAME}`` and so on."""
        return _SUBSTITUTION.sub(self._expansion, text)

    def _expansion(self, match: 're.Match[str]') -> str:
        if match[0] in ('$$', '%%'):
            return match[0][0]
        letter = _LONG[match[1]] if match[1] else match[2]
        return self._value(letter, match[3] or '')

    def _value(self, letter: str, argument: str) -> str:
        device = self._device
        if letter == 's':
            for parent in self._parents:
                found = parent.attribute(argument)
                if found is not None:
                    return found
            return ''
        if letter == 'E':
            found = self._env.get(argument, '')
            if found is None or (
                argument not in self._env
                and not device.complete
                and _GIVEN.match(argument)
            ):
                return UNKNOWN
            return found
        number = re.search(r'\d+\Z', device.name)
        plain = {
            'k': device.name,
            'n': number[0] if number else '',
            'p': '/' + device.real.removeprefix('sys/'),
            'S': '/sys',
            'D': self._name or device.name,
            'r': '/dev',
        }
        return plain.get(letter, UNKNOWN)


def _chain(device: Device) -> Iterator[Device]:
    """Yield a device and those above it, nearest first."""
    yield device
    real = device.real.rpartition('/')[0]
    while real.count('/') > 1:
        name = real.rpartition('/')[2]
        subsystem = device.tree.link_name(f'{real}/subsystem')
        if subsystem is None and _PCI.match(name):
            subsystem = 'pci'
        if subsystem is not None or 'uevent' in device.tree.names(real):
            yield Device(device.tree, real, subsystem or '')
        real = real.rpartition('/')[0]


def _fits(token: Token, value: str) -> bool:
    folded = token.folded
    return any(
        fnmatchcase(
            value.lower() if folded else value,
            (pattern.lower() if folded else pattern).replace('[^', '[!'),
        )
        for pattern in token.value.split('|')
    )


def _compare(token: Token, value: str) -> bool:
    return _fits(token, value) == (token.operator == '==')


def _attribute(token: Token, device: Device, name: str) -> Verdict:
    value = device.attribute(name)
    if value is None:
        return False
    return _compare(token, value)


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    found: Verdict = True
    for verdict in verdicts:
        if verdict is False:
            return False
        if verdict is None:
            found = None
    return found


def _any(verdicts: Iterable[Verdict]) -> Verdict:
    found: Verdict = False
    for verdict in verdicts:
        if verdict is True:
            return True
        if verdict is None:
            found = None
    return found


def _glob(tree: Tree, pattern: str) -> list[str]:
    """Return the paths that a pattern names."""
    found = ['']
    for part in pattern.split('/'):
        if not any(sign in part for sign in '*?['):
            found = [f'{base}/{part}'.lstrip('/') for base in found]
            continue
        found = [
            f'{base}/{name}'.lstrip('/')
            for base in found
            for name in tree.names(base)
            if fnmatchcase(name, part)
        ]
    return [path for path in found if tree.real(path) is not None]
