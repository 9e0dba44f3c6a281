"""Which boot loader has started the running kernel.

GRUB passes ``BOOT_IMAGE=``; systemd-boot passes the initrd by a path with
backslashes, and both it and the stub of a unified image leave a variable in
EFI's (the Boot Loader Interface).
"""

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.kinds import command_line

GRUB = 'GRUB'
SYSTEMD_BOOT = 'systemd-boot'
UNKNOWN = ''

_VARIABLE = (
    'sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f'
)
#: Of an EFI variable's file, its attributes (efivarfs).
_ATTRIBUTES_BYTES = 4


def loader(host: Host) -> str:
    """Return the boot loader's name; :data:`UNKNOWN` when nothing tells."""
    raw = host.tree.raw(_VARIABLE)
    if raw:
        text = raw[_ATTRIBUTES_BYTES:].decode('utf-16-le', errors='replace')
        for name in (GRUB, SYSTEMD_BOOT):
            if text.startswith(name):
                return name
    if command_line.value(host.command_line, 'BOOT_IMAGE') is not None:
        return GRUB
    initrd = command_line.value(host.command_line, 'initrd')
    return SYSTEMD_BOOT if initrd and '\\' in initrd else UNKNOWN
