"""Install what prepares the host at boot: units, udev's rule, directories.

They are those that the package ships, with the path of the command that
installs them. Where a distribution's package has brought its own units, they
stay as they are, and are only enabled.
"""

from kvm_tuning.host.access import installed
from kvm_tuning.host.access.installed import File
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep import provision
from kvm_tuning.host.prep.kinds.kind import UNIT

_DIRECTORIES = 'etc/tmpfiles.d/kvm-tuning.conf'
#: Shipped files, and where they are installed.
SHIPPED = {
    **provision.SHIPPED,
    'tmpfiles.d/kvm-tuning.conf': _DIRECTORIES,
}
# Each shipped file has had one of these since the first release.
_LINES = (
    b'Documentation=man:kvm-tuning(1)',
    b'd /run/kvm-tuning 0700 root root -',
)
_RULE = b'ENV{SYSTEMD_WANTS}+="kvm-tuning-host-prep-device.service"'


def _is_shipped(raw: bytes) -> bool:
    lines = raw.splitlines()
    return any(line in lines for line in _LINES) or any(
        line.endswith(_RULE) and not line.startswith(b'#') for line in lines
    )


_MARK = installed.Mark(_is_shipped, 'what the shipped files say')


def files(system: System, program: str) -> list[File]:
    """Return the files to install.

    :param program: path of the command ``kvm-tuning``.
    :raises HostError: this installation lacks a shipped file.
    """
    if system.tree().raw(f'usr/lib/systemd/system/{UNIT}') is not None:
        return []
    found = []
    for name, path in SHIPPED.items():
        text = provision.shipped(name)
        if name.endswith('.service'):
            command = installed.in_unit(program)
            text = text.replace(provision.COMMANDS, command)
        found.append(File(path, text))
    return found


def install(system: System, program: str) -> list[str]:
    """Write the files that differ, enable host-prep, and return their paths.

    :raises SettingRejected: a file that is not ours is in the way and was
        left alone, a file cannot be written, or systemd refuses.
    :raises HostError: this installation lacks a shipped file.
    """
    wanted = files(system, program)
    # A package's unit is elsewhere: systemd itself knows where.
    written = installed.install(
        system, wanted, _MARK, UNIT if wanted else None
    )
    if installed.runs_systemd(system):
        if written:
            installed.systemctl(system, 'daemon-reload')
        if not wanted:
            installed.systemctl(system, 'enable', UNIT)
    return written


def remove(system: System) -> list[str]:
    """Remove the files, so that nothing is prepared at the next boot, and
    return their paths. What runs now stays as it is.

    :raises SettingRejected: one is not ours, and nothing has been removed;
        or systemd refuses.
    """
    removed = installed.remove(system, list(SHIPPED.values()), _MARK, UNIT)
    if removed and installed.runs_systemd(system):
        installed.systemctl(system, 'daemon-reload')
    return removed
