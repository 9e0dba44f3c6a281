"""Commands that have to follow a write, before the next boot has it.

A command may put a copy where nobody can look (an ESP that is not mounted, a
record of blocks). Then a receipt says which text has been copied; a text
that neither the receipt nor the running kernel knows has not been.
"""

import json

from kvm_tuning.host.access.programs import installed
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep.boot import grub_menu, unified_images
from kvm_tuning.host.prep.kinds import command_line

CMDLINE = 'etc/kernel/cmdline'
RECEIPT = 'var/lib/kvm-tuning/boot-copies.json'

_PROXMOX = 'etc/kernel/proxmox-boot-uuids'
_ZIPL = 'etc/zipl.conf'
_PRESETS = 'etc/mkinitcpio.d'

Commands = list[list[str]]


def for_grub(tree: Tree) -> Commands:
    """Return what makes GRUB's menu again."""
    menu = grub_menu.find(tree) or _expected_menu(tree)
    maker = 'grub2-mkconfig' if 'grub2' in menu else 'grub-mkconfig'
    if menu.startswith(('boot/efi', 'efi')):
        maker = 'grub2-mkconfig'
    found = [[maker, '-o', f'/{menu}']]
    if menu == grub_menu.PATHS[0] and (
        installed(tree, 'update-grub') is not False
        or installed(tree, maker) is False
    ):
        found = [['update-grub']]
    return found + _proxmox(tree)


def _expected_menu(tree: Tree) -> str:
    return grub_menu.PATHS[1 if tree.names('boot/grub2') else 0]


def for_entries(tree: Tree) -> Commands:
    """Return what makes boot entries count."""
    return [['zipl']] if tree.real(_ZIPL) is not None else []


def for_cmdline(tree: Tree) -> Commands:
    """Return what puts ``/etc/kernel/cmdline`` into what is there already."""
    found = _proxmox(tree)
    if any(unified_images.paths(tree)):
        found += builder(tree)
    return found


def _proxmox(tree: Tree) -> Commands:
    if tree.real(_PROXMOX) is None:
        return []
    return [['proxmox-boot-tool', 'refresh']]


def builder(tree: Tree) -> Commands:
    """Return what builds all unified images again; nothing when that is not
    known.
    """
    for name in tree.names(_PRESETS):
        text = tree.foreign(f'{_PRESETS}/{name}') or ''
        lines = (line.strip() for line in text.splitlines())
        if name.endswith('.preset') and any(
            '_uki=' in line and not line.startswith('#') for line in lines
        ):
            return [['mkinitcpio', '-P']]
    return []


def is_hidden(tree: Tree, name: str) -> bool:
    """Tell whether what boots is a copy of ``name`` that cannot be read."""
    if name == CMDLINE or name.startswith('etc/default/'):
        return bool(_proxmox(tree))
    return name.endswith('.conf') and bool(for_entries(tree))


def is_copied(tree: Tree, name: str, value: str) -> bool:
    """Tell whether the copy is known to have ``value``."""
    if not is_hidden(tree, name) or _runs(tree, value):
        return True
    return _receipts(tree).get(name) == value


def enter(system: System, name: str, value: str | None) -> None:
    """Put on record that ``value`` has been copied; None: that it is not
    known what has been.
    """
    tree = system.tree()
    found = _receipts(tree)
    before = dict(found)
    found.pop(name, None)
    if value is not None and not _runs(tree, value):
        found[name] = value
    if found == before:
        return
    if found:
        text = json.dumps(found, indent=1, sort_keys=True)
        system.replace(RECEIPT, f'{text}\n')
    else:
        system.remove(RECEIPT)


def _runs(tree: Tree, value: str) -> bool:
    running = command_line.words(tree.text('proc/cmdline') or '')
    return set(command_line.words(value)) <= set(running)


def _receipts(tree: Tree) -> dict[str, str]:
    try:
        found = json.loads(tree.text(RECEIPT) or '{}')
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: value
        for name, value in found.items()
        if isinstance(name, str) and isinstance(value, str)
    }
