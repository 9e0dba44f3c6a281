"""Programs of the host that are run, and the packages that have them."""

from collections.abc import Mapping
import errno

from kvm_tuning.host.access.sysfs import Tree

#: What each is run for, and the package that has it on Debian and Fedora.
_USES: Mapping[str, tuple[str, str]] = {
    'grub-mkconfig': ("writes GRUB's menu", 'grub-common'),
    'grub2-mkconfig': ("writes GRUB's menu", 'grub2-tools'),
    'mkinitcpio': ('builds unified kernel images', 'mkinitcpio'),
    'modprobe': ('loads and unloads modules', 'kmod'),
    'proxmox-boot-tool': (
        'copies kernels and their arguments to the ESPs',
        'proxmox-kernel-helper',
    ),
    'systemctl': ('starts, stops, enables and disables services', 'systemd'),
    'update-grub': ("writes GRUB's menu", 'grub2-common'),
    'zipl': ('writes what IBM Z starts from', 's390-tools'),
}

#: Where programs are, and the one that a whole system always has.
_DIRECTORIES = ('usr/sbin', 'usr/bin', 'sbin', 'bin', 'usr/local/sbin')
_ALWAYS = 'sh'


def installed(tree: Tree, name: str) -> bool | None:
    """Tell whether a program is there; None: the tree has no programs, as
    one that was captured from another machine.
    """
    if _find(tree, name):
        return True
    return False if _find(tree, _ALWAYS) else None


def _find(tree: Tree, name: str) -> bool:
    return any(
        tree.real(f'{directory}/{name}') is not None
        for directory in _DIRECTORIES
    )


class ProgramMissing(OSError):
    """A program is not installed; nothing has been run."""

    def __init__(self, name: str, path: str) -> None:
        """:param path: the directories searched, as in ``PATH``."""
        use, package = _USES.get(name, ('is needed here', ''))
        text = f'the program {name}, which {use}, was not found in {path}'
        if package:
            text += f'; install the package {package}'
        super().__init__(errno.ENOENT, text)
