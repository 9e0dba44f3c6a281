"""Install the files that reapply settings however a guest is started.

libvirt runs the scripts in ``/etc/libvirt/hooks/qemu.d`` (since 6.5) when a
guest is prepared, started, migrated here, found again by a restarted daemon,
or has ended (https://libvirt.org/hooks.html). A script must not call libvirt:
ours writes an event to a directory, and systemd then starts ``kvm-tuning
guest reconcile``.
"""

from dataclasses import dataclass
import os
import shlex

from kvm_tuning.core.exceptions import SettingRejected
from kvm_tuning.host.access.system import System

#: Where events wait.
QUEUE = '/run/kvm-tuning/queue'
UNIT = 'kvm-tuning-reconcile'
SCRIPT = 'etc/libvirt/hooks/qemu.d/kvm-tuning'
_UNITS = 'etc/systemd/system'
_WANTED = f'{_UNITS}/multi-user.target.wants'
_MARK = '# Installed by: kvm-tuning host hooks install'

_SCRIPT = f"""\
#!/bin/sh
{_MARK}
# Removed by: kvm-tuning host hooks remove
#
# Writes down that a guest starts, runs or has ended. It calls nobody (a hook
# that calls libvirt hangs it), and never fails: libvirt would not start the
# guest. The event appears as a whole, by a rename.
case $2 in
    prepare|started|reconnect|stopped|release) ;;
    *) exit 0 ;;
esac
queue={QUEUE}
umask 077
{{
    mkdir -p "$queue" &&
        new=$(mktemp "${{queue%/*}}/.event.XXXXXX") &&
        printf '%s\\n%s\\n' "$1" "$2" >"$new" &&
        mv "$new" "$queue/${{new##*/.event.}}"
}} 2>/dev/null </dev/null
exit 0
"""

_PATH_UNIT = f"""\
{_MARK}
[Unit]
Description=Guests that wait for their tuning
Documentation=man:kvm-tuning(1)

[Path]
DirectoryNotEmpty={QUEUE}
MakeDirectory=yes
DirectoryMode=0700
# What stays in the queue starts no run after the other for ever.
TriggerLimitIntervalSec=10s
TriggerLimitBurst=20

[Install]
WantedBy=multi-user.target
"""

# Restarted where libvirt does not answer yet: the events are still there, and
# a path unit that starts a failing service in a loop gives up.
_SERVICE = f"""\
{_MARK}
[Unit]
Description=Tuning of guests that have started or ended
Documentation=man:kvm-tuning(1)
After=libvirtd.service virtqemud.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={{program}} guest reconcile --queue {QUEUE}
Restart=on-failure
RestartSec=10
TimeoutStartSec=300
# It talks to libvirt by a socket and to the kernel by netlink, moves threads
# of other users, and writes its lock and its journal, wherever the operator
# has them. (ProtectClock= would take its devices away.)
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_NICE CAP_SYS_PTRACE
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=read-only
PrivateTmp=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
"""


@dataclass(frozen=True, slots=True)
class File:
    """One file to install, below the root."""

    path: str
    text: str
    mode: int = 0o644


def files(program: str) -> tuple[File, ...]:
    """Return the files to install.

    :param program: path of the command ``kvm-tuning``.
    """
    # systemd.service(5): a percent sign starts a specifier.
    quoted = shlex.quote(program).replace('%', '%%')
    return (
        File(f'{_UNITS}/{UNIT}.service', _SERVICE.format(program=quoted)),
        File(f'{_UNITS}/{UNIT}.path', _PATH_UNIT),
        File(SCRIPT, _SCRIPT, 0o755),
    )


def install(system: System, program: str) -> list[str]:
    """Write the files that differ and return their paths.

    :raises SettingRejected: a file that is not ours is in the way and was
        left alone, or a file cannot be written.
    """
    wanted = files(program)
    changed = [each for each in wanted if _differs(system, each)]
    link = f'{_WANTED}/{UNIT}.path'
    linked = system.tree().target(link)
    try:
        for each in changed:
            system.replace(each.path, each.text, each.mode)
            # An existing file keeps its mode otherwise.
            os.chmod(os.path.join(system.root, each.path), each.mode)
        if linked is None:
            _check_real(system)
            os.makedirs(os.path.join(system.root, _WANTED), exist_ok=True)
            os.symlink(
                f'/{_UNITS}/{UNIT}.path', os.path.join(system.root, link)
            )
    except OSError as error:
        raise SettingRejected(
            f'{error.filename or link}: {error.strerror}'
        ) from error
    return [each.path for each in changed] + ([link] if not linked else [])


def installed(system: System) -> list[str]:
    """Return the paths of the files that are there.

    :raises SettingRejected: one is not ours.
    """
    found = [each.path for each in files('') if _ours(system, each.path)]
    link = f'{_WANTED}/{UNIT}.path'
    if system.tree().target(link) is not None:
        found.append(link)
    return found


def remove(system: System) -> list[str]:
    """Remove the files and return their paths.

    :raises SettingRejected: one is not ours; nothing has been removed then.
    """
    # Checked before anything is removed.
    found = [each.path for each in files('') if _ours(system, each.path)]
    link = f'{_WANTED}/{UNIT}.path'
    try:
        if system.tree().target(link) is not None:
            system.remove(link)
            found.append(link)
        for path in found:
            system.remove(path)
    except OSError as error:
        raise SettingRejected(
            f'{error.filename or link}: {error.strerror}'
        ) from error
    return found


def activate(system: System) -> None:
    """Have systemd load and start the new units.

    :raises SettingRejected: systemd refuses.
    """
    _run(system, ['systemctl', 'daemon-reload'])
    _run(system, ['systemctl', 'start', f'{UNIT}.path'])


def deactivate(system: System) -> None:
    """Stop the units before their files are removed.

    :raises SettingRejected: systemd refuses.
    """
    if _ours(system, f'{_UNITS}/{UNIT}.path'):
        _run(system, ['systemctl', 'stop', f'{UNIT}.path'])


def runs_systemd(system: System) -> bool:
    """Whether systemd runs the host below the root (sd_booted(3))."""
    tree = system.tree()
    return tree.is_this_host and bool(tree.names('run/systemd/system'))


def reload(system: System) -> None:
    """Have systemd forget units whose files were removed."""
    _run(system, ['systemctl', 'daemon-reload'])


def _check_real(system: System) -> None:
    """:raises SettingRejected: a link would lead out of the root."""
    if system.tree().target(_WANTED) is not None:
        raise SettingRejected(
            f'{os.path.join(system.root, _WANTED)} is a symbolic link, which '
            f'is not followed'
        )


def _run(system: System, command: list[str]) -> None:
    try:
        system.run(command)
    except OSError as error:
        raise SettingRejected(str(error.strerror or error)) from error


def _differs(system: System, file: File) -> bool:
    if not _ours(system, file.path):
        return True
    path = os.path.join(system.root, file.path)
    same = system.tree().raw(file.path) == file.text.encode()
    return not same or os.stat(path).st_mode & 0o777 != file.mode


def _ours(system: System, path: str) -> bool:
    """Return whether a file exists and is ours.

    :raises SettingRejected: it exists and is not ours.
    """
    tree = system.tree()
    directory, _slash, name = path.rpartition('/')
    if name not in tree.names(directory):
        return False
    raw = tree.raw(path)
    if raw is None or _MARK.encode() not in raw.splitlines():
        raise SettingRejected(
            f'{os.path.join(system.root, path)} was not installed by '
            f'kvm-tuning: it lacks the line {_MARK!r}; move it away'
        )
    return True
