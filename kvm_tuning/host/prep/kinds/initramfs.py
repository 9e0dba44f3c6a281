"""Notes on options of modules that the initramfs loads.

An initramfs has a copy of modprobe.d from when it was built
(update-initramfs(8), dracut(8)). A module loaded from it does not see options
written since.
"""

from collections.abc import Iterator
import re

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Goal, Note
from kvm_tuning.host.prep.journal import Entry
from kvm_tuning.host.prep.kinds import modprobe

_KIND = SettingKind.MODULE_PARAMETER
_COMMANDS = (
    ('usr/sbin/update-initramfs', 'update-initramfs -u'),
    ('usr/bin/dracut', 'dracut -f'),
    ('usr/sbin/dracut', 'dracut -f'),
)
_TOOLS = 'etc/initramfs-tools'
_MODULES = re.compile(r'\s*MODULES=["\']?(\w+)')
# dracut.conf(5).
_DRIVERS = re.compile(r'\s*(?:add|force)_drivers\+?=["\']?([^"\'#]*)')


def notes(host: Host, entry: Entry | None, goal: Goal) -> Iterator[Note]:
    """Yield a note when an initramfs hides, or will hide, a goal's option
    from its module.

    :param entry: the goal's journal entry.
    """
    if goal.setting.kind != _KIND:
        return
    module = goal.setting.name.partition('.')[0]
    if _missed(host, entry, goal):
        yield Note(
            goal.concern,
            f'{goal.label}: {module} was loaded at boot without it, probably '
            f'from an initramfs with an older copy of modprobe.d: run '
            f'{command(host.tree)}, and it takes effect at the next boot',
        )
    elif _new(host, entry, goal) and holds(host, module):
        yield Note(goal.concern, f'{goal.label}: {_advice(host, module)}')


def undone(host: Host, entry: Entry) -> Iterator[Note]:
    """Yield a note when an initramfs keeps an option that was undone."""
    module = entry.name.partition('.')[0]
    if entry.kind == _KIND and holds(host, module):
        yield Note(entry.concern, f'{entry.title}: {_advice(host, module)}')


def _advice(host: Host, module: str) -> str:
    return (
        f'{module} is loaded from the initramfs, which has a copy of '
        f'modprobe.d: run {command(host.tree)} afterwards, or the next boot '
        f'does not see the change'
    )


def _missed(host: Host, entry: Entry | None, goal: Goal) -> bool:
    """Return whether the option was set before this boot and its module
    runs without it. A writable parameter proves nothing: it may have been
    written since.
    """
    name = goal.setting.name
    if entry is None or entry.open or not goal.reached:
        return False
    if host.boot_id in ('', entry.boot):
        return False
    if modprobe.writable(host.tree, name):
        return False
    running = modprobe.running(host.tree, name)
    if running is None:
        running = goal.running_value
    return running not in (None, modprobe.NOT_LOADED, goal.setting.value)


def _new(host: Host, entry: Entry | None, goal: Goal) -> bool:
    """Return whether the option is to be written, or was during this boot."""
    if not goal.reached:
        return True
    return entry is not None and entry.boot == host.boot_id


def command(tree: Tree) -> str:
    """Return the command that rebuilds this host's initramfs."""
    for path, found in _COMMANDS:
        if tree.real(path) is not None:
            return found
    return 'update-initramfs -u (Debian, Ubuntu) or dracut -f (Fedora)'


def holds(host: Host, module: str) -> bool:
    """Return whether the tools are configured to put a module into the
    initramfs. It may also be there for other reasons.
    """
    return (
        module in _listed(host.tree)
        or module in _dracut(host.tree)
        # hook-functions of initramfs-tools: most modules include those of
        # network cards, and its udev loads them for the devices it finds.
        or (_most(host.tree) and _is_network(host, module))
    )


def _listed(tree: Tree) -> set[str]:
    found = set()
    for line in (tree.foreign(f'{_TOOLS}/modules') or '').splitlines():
        words = line.partition('#')[0].split()
        if words:
            found.add(words[0].replace('-', '_'))
    return found


def _most(tree: Tree) -> bool:
    """Return whether initramfs-tools includes all drivers of network cards
    (initramfs.conf(5)).
    """
    if tree.real(f'{_TOOLS}/initramfs.conf') is None:
        return False
    chosen = 'most'
    directory = f'{_TOOLS}/conf.d'
    parts = [f'{directory}/{name}' for name in tree.names(directory)]
    for path in (f'{_TOOLS}/initramfs.conf', *parts):
        for line in (tree.foreign(path) or '').splitlines():
            match = _MODULES.match(line)
            chosen = match[1] if match else chosen
    return chosen in ('most', 'netboot')


def _dracut(tree: Tree) -> set[str]:
    found: set[str] = set()
    directory = 'etc/dracut.conf.d'
    parts = [
        f'{directory}/{name}'
        for name in tree.names(directory)
        if name.endswith('.conf')
    ]
    for path in ('etc/dracut.conf', *parts):
        for line in (tree.foreign(path) or '').splitlines():
            match = _DRIVERS.match(line)
            if match:
                found.update(match[1].replace('-', '_').split())
    return found


def _is_network(host: Host, module: str) -> bool:
    return any(
        device.driver == module and device.pci_class.startswith('02')
        for device in host.inventory.devices
    )
