"""The variables that GRUB fills in: of boot entries, and of what
``/etc/default/grub`` says.
"""

from dataclasses import dataclass, field
import re

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import grub_menu, grubenv, shell, started_by

TUNED = 'etc/tuned/bootcmdline'
_TUNED_VARIABLE = 'tuned_params'
_VARIABLE = re.compile(r'\$(?:\{(\w+)\}|(\w+))')


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables by name; a value of None is not known."""

    variables: dict[str, str | None] = field(default_factory=dict)
    #: False: what reads the entries fills nothing in.
    expands: bool = True

    def expanded(self, text: str) -> str:
        """Return ``text`` with the variables' values; unknown ones stay."""

        def value(match: re.Match[str]) -> str:
            found = self.variables.get(match[1] or match[2], '')
            return match[0] if found is None else found

        return _VARIABLE.sub(value, text) if self.expands else text

    def unknown(self, text: str) -> list[str]:
        """Return the variables in ``text`` of which the value is unknown."""
        return [
            name
            for match in _VARIABLE.finditer(text)
            if (name := match[1] or match[2]) in self.variables
            and self.variables[name] is None
            and self.expands
        ]

    def source(self, text: str, word: str) -> str | None:
        """Return who sets ``word`` by a variable of ``text``; None when it
        stands there itself.
        """
        if not self.expands:
            return None
        for match in _VARIABLE.finditer(text):
            name = match[1] or match[2]
            held = f' {self.variables.get(name) or ""} '
            if f' {word} ' in held:
                return (
                    f'TuneD (${name})'
                    if name == _TUNED_VARIABLE
                    else f'${name} of {grubenv.NAME}'
                )
        return None


def read(host: Host) -> Environment:
    """Return the variables as GRUB will have them.

    :raises InventoryUnreadable: the menu or its environment block cannot be
        read.
    """
    tree = host.tree
    path = grub_menu.find(tree)
    variables: dict[str, str | None] = {**grubenv.read(tree)}
    if path is not None:
        variables.update(grub_menu.read(tree, path).variables)
    tuned = tuned_arguments(tree)
    if tuned and not variables.get(_TUNED_VARIABLE):
        variables[_TUNED_VARIABLE] = tuned
    loader = started_by.loader(host)
    return Environment(
        variables, path is not None or loader != started_by.SYSTEMD_BOOT
    )


def tuned_arguments(tree: Tree) -> str:
    """Return the kernel arguments that TuneD's profile sets
    (``[bootloader]``).
    """
    text = tree.foreign(TUNED) or ''
    try:
        found = {
            each.name: each.value
            for each in shell.assignments(f'{text}\n', {})
        }
    except shell.NotUnderstood:
        return ''
    return found.get('TUNED_BOOT_CMDLINE') or ''
