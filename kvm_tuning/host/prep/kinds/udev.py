"""Read and write our udev rules, which share one file, one line a rule.

A comment before each rule has its name. udev rereads its directory when a file
in it has changed. Of the rules that match a device the last one counts
(udev(7)): those for one device come after those for a class.
"""

import re

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Value

PATH = 'etc/udev/rules.d/61-kvm-tuning.rules'
# A name with a pattern (udev(7): *, ?, [, |) matches a class of devices.
_ONE_DEVICE = re.compile(r'\bKERNEL=="[^"*?[|]+"')
_HEAD = '# Written by kvm-tuning host apply. Do not edit.'


class UdevRule:
    """A rule; its value is the rule's line."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        return rules(host.tree).get(name)

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        found = rules(system.tree())
        found.pop(name, None)
        if value is not None:
            found[name] = value
        if not found:
            system.remove(PATH)
            return
        lines = [_HEAD]
        for each, rule in sorted(found.items(), key=_order):
            lines += [f'# {each}', rule]
        system.replace(PATH, '\n'.join(lines) + '\n')

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return f'/{PATH}'

    def tidy(self, system: System, name: str) -> None:
        system.tidy(PATH)

    def devices(self, name: str) -> str:
        return ''


def _order(named: tuple[str, str]) -> tuple[bool, str]:
    """Return the sort key of a rule: by name, those for one device last."""
    name, rule = named
    return bool(_ONE_DEVICE.search(rule)), name


def rules(tree: Tree) -> dict[str, str]:
    """Return our rules by name."""
    found: dict[str, str] = {}
    name = ''
    for line in (tree.text(PATH) or '').splitlines():
        if line.startswith('# '):
            name = line[2:]
        elif line and name:
            found[name] = line
            name = ''
    return found
