"""Plan and write the kernel arguments for the next boot.

They are one managed set in each place from which a boot loader takes them:

- GRUB: ``/etc/default/grub`` and its drop-ins, from which a command writes
  the menu.
- Boot Loader Specification (RHEL 8 and later, systemd-boot): the ``options``
  lines of each entry, and ``/etc/kernel/cmdline``, from which the entries and
  unified images of new kernels are made.
- Read only: unified images, and a menu that was written by hand.

In boot entries, all arguments with our names are removed and ours appended,
so that no stale value remains; the former text is in the journal, and what we
wrote earlier and is no longer wanted is removed.
"""

from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import (
    grub_menu,
    grub_place,
    sequels,
    unified_images,
    zipl,
)
from kvm_tuning.host.prep.goals import STALE_COPY, STALE_MENU, Value, settled
from kvm_tuning.host.prep.kinds import boot_entries, boot_record, command_line

KIND = boot_record.KIND
CONCERN = boot_record.CONCERN
GRUB = grub_place.DROP_IN
GRUB_MENU = grub_menu.PATHS[0]
ENTRIES = boot_entries.ENTRIES
CMDLINE = boot_entries.CMDLINE


class KernelArguments:
    """The arguments in one place; its name is that file's path."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        if name in grub_place.NAMES:
            return grub_place.read(host, name)
        if name.lower().endswith('.efi'):
            return unified_images.command_line(host.tree, name)
        if name.endswith('/grub.cfg'):
            entries = grub_place.own(host, grub_menu.read(host.tree, name))
            return '\n'.join(entry.arguments or '' for entry in entries)
        if name == zipl.PATH:
            return '\n'.join(zipl.read(host.tree))
        value = boot_entries.read(host.tree, name)
        if value is None or _followed(host, name, value):
            return value
        return value + STALE_COPY

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        if name in grub_place.NAMES:
            grub_place.write(system, name, value)
            return
        tree = system.tree()
        commands = (
            sequels.for_cmdline(tree)
            if name == CMDLINE
            else sequels.for_entries(tree)
        )
        for command in commands:
            system.require(command[0])
        value = settled(value)
        boot_entries.write(system, name, value)
        for command in commands:
            system.run(command)
        if sequels.is_hidden(tree, name):
            sequels.enter(system, name, value)

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        values = {settled(value) for value in (found, target) if value}
        stale = (
            f'{value}{mark}'
            for value in values
            for mark in (STALE_MENU, STALE_COPY)
        )
        return (*stale, grub_place.LEAVING)

    def place(self, name: str) -> str:
        return f'/{name}'

    def tidy(self, system: System, name: str) -> None:
        system.tidy(system.tree().real(name) or name)
        system.tidy(sequels.RECEIPT)

    def devices(self, name: str) -> str:
        return ''


def _followed(host: Host, name: str, value: str) -> bool:
    """Tell whether what boots has what the file says."""
    if not sequels.is_copied(host.tree, name, value):
        return False
    if name != CMDLINE or not sequels.builder(host.tree):
        return True
    words = set(command_line.words(value))
    return all(
        words <= set(command_line.words(found or ''))
        for found in unified_images.own(host).values()
    )
