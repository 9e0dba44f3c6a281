"""Our arguments in the files that GRUB's menu is made of.

Where drop-ins are read, ours is a file of its own, else it is a line at the
end of ``/etc/default/grub``; so our arguments come last, unless a later
drop-in sets more. The menu is made of them by a command.
"""

import re

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import (
    grub_defaults,
    grub_menu,
    roots,
    sequels,
)
from kvm_tuning.host.prep.boot.grub_menu import Entry, Menu
from kvm_tuning.host.prep.goals import STALE_MENU, Value, settled

DROP_IN = f'{grub_defaults.DROP_INS}/kvm-tuning.cfg'
NAMES = (DROP_IN, grub_defaults.MAIN)
#: Our file while the menu is made without it: were it gone at once, nobody
#: could see that the menu is a former one.
LEAVING = '(leaving)'

_HEAD = '# Written by kvm-tuning host apply. Do not edit.'
_VARIABLE = grub_defaults.USUAL
_LINE = re.compile(rf'^{_VARIABLE}="\${_VARIABLE} ([^"\n]*)"$', re.MULTILINE)
#: Scripts whose entries are not made of /etc/default/grub.
_NOT_OURS = ('_os-prober', '_custom')
_RESCUES = frozenset({'single', 'recovery'})


def find(tree: Tree) -> str | None:
    """Return the file for our arguments; None where GRUB's menu is not made
    of any.

    :raises InventoryUnreadable: the menu cannot be read.
    """
    if tree.real(grub_defaults.MAIN) is None:
        return None
    if not (tree.names('boot/grub') or tree.names('boot/grub2')):
        return None
    path = grub_menu.find(tree)
    if path is not None:
        menu = grub_menu.read(tree, path)
        if menu.bls and not made(menu):
            return None
    if grub_defaults.reads_drop_ins(tree):
        return DROP_IN
    return grub_defaults.MAIN


def made(menu: Menu) -> list[Entry]:
    """Return the entries that are made of /etc/default/grub, but those for a
    rescue: they have no arguments of ours on purpose.
    """
    return [
        entry
        for entry in menu.kernels()
        if not entry.section.endswith(_NOT_OURS) and not is_rescue(entry)
    ]


def is_rescue(entry: Entry) -> bool:
    """Tell whether an entry is for a rescue, or a test of memory."""
    words = (entry.arguments or '').split()
    return 'memtest' in entry.kernel or not _RESCUES.isdisjoint(words)


def own(host: Host, menu: Menu) -> list[Entry]:
    """Return the entries of a menu that start this host's Linux. Where all
    are written by hand, these are it.
    """
    entries = made(menu) or [
        entry for entry in menu.kernels() if not is_rescue(entry)
    ]
    texts = {
        str(number): entry.arguments or ''
        for number, entry in enumerate(entries)
    }
    names = roots.own(host, texts)
    return [entry for n, entry in enumerate(entries) if str(n) in names]


def text(tree: Tree, name: str, value: str) -> str:
    """Return the file with ``value`` as our arguments."""
    lines = f'{_HEAD}\n{_VARIABLE}="${_VARIABLE} {value}"'
    return f'{lines}\n' if name == DROP_IN else _with(_others(tree), lines)


def _with(others: str, lines: str) -> str:
    """Return a file's text with our lines at its end. Where the last one of
    others is not ended, ours is not, so that it can be told later.
    """
    ended = not others or others.endswith('\n')
    return f'{others}{lines}\n' if ended else f'{others}\n{lines}'


def _others(tree: Tree) -> str:
    """Return /etc/default/grub without our lines."""
    found = grub_defaults.text_of(tree, grub_defaults.MAIN) or ''
    start = found.find(_HEAD)
    if start < 0:
        return found
    end = start + len(_HEAD)
    match = _LINE.match(found, end + 1)
    end = match.end() if match else end
    if end < len(found):
        return found[:start] + found[end + 1 :]
    return found[: start - 1]


def read(host: Host, name: str) -> Value:
    """Return our arguments; with a mark when the next boot has not got them.

    :raises InventoryUnreadable: the menu cannot be read.
    """
    found = grub_defaults.text_of(host.tree, name)
    if found is None or (name != DROP_IN and _HEAD not in found):
        return None
    match = _LINE.search(found, max(found.find(_HEAD), 0))
    value = match[1] if match else LEAVING
    if value == LEAVING or (
        in_menu(host, value) and sequels.is_copied(host.tree, name, value)
    ):
        return value
    return value + STALE_MENU


def in_menu(host: Host, value: str) -> bool:
    """Tell whether every Linux of this host in the menu is started with
    ``value``.

    :raises InventoryUnreadable: the menu cannot be read.
    """
    path = grub_menu.find(host.tree)
    if path is None:
        return False
    entries = own(host, grub_menu.read(host.tree, path))
    return bool(entries) and all(has(entry, value) for entry in entries)


def has(entry: Entry, value: str) -> bool:
    """Tell whether an entry's arguments have ``value``, word for word."""
    return f' {value} ' in f' {" ".join((entry.arguments or "").split())} '


def write(system: System, name: str, value: Value) -> None:
    """Set our arguments, and have the menu made of them.

    :raises OSError: it cannot be.
    """
    commands = sequels.for_grub(system.tree())
    for command in commands:
        system.require(command[0])
    value = settled(value)
    tree = system.tree()
    if value is not None:
        system.replace(name, text(tree, name, value))
    elif name == DROP_IN:
        system.replace(name, f'{_HEAD}\n')
    else:
        system.replace(name, _with(_others(tree), _HEAD))
    for command in commands:
        system.run(command)
    if sequels.is_hidden(tree, name):
        sequels.enter(system, name, value)
    if value is None and name == DROP_IN:
        system.remove(name)
    elif value is None:
        system.replace(name, _others(system.tree()))
