"""The programs of the host that are run, and what brings them."""

from collections.abc import Mapping
import errno

#: What each is run for, and the package of Debian and of Fedora that has it.
_USES: Mapping[str, tuple[str, str]] = {
    'modprobe': ('loads and unloads modules', 'kmod'),
    'systemctl': ('starts, stops, enables and disables services', 'systemd'),
    'update-grub': ("makes GRUB's menu anew", 'grub2-common'),
}


class ProgramMissing(OSError):
    """A program that is to be run is not there; nothing has been run."""

    def __init__(self, name: str, path: str) -> None:
        """:param path: where it was looked for, as in ``PATH``."""
        use, package = _USES.get(name, ('is needed for it', ''))
        text = f'the program {name}, which {use}, is in none of {path}'
        if package:
            text += f'; install the package {package}'
        super().__init__(errno.ENOENT, text)
