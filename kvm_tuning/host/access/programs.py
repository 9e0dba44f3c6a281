"""Programs of the host that are run, and the packages that have them."""

from collections.abc import Mapping
import errno

#: What each is run for, and the package that has it on Debian and Fedora.
_USES: Mapping[str, tuple[str, str]] = {
    'modprobe': ('loads and unloads modules', 'kmod'),
    'systemctl': ('starts, stops, enables and disables services', 'systemd'),
    'update-grub': ("writes GRUB's menu", 'grub2-common'),
}


class ProgramMissing(OSError):
    """A program is not installed; nothing has been run."""

    def __init__(self, name: str, path: str) -> None:
        """:param path: the directories searched, as in ``PATH``."""
        use, package = _USES.get(name, ('is needed here', ''))
        text = f'the program {name}, which {use}, was not found in {path}'
        if package:
            text += f'; install the package {package}'
        super().__init__(errno.ENOENT, text)
