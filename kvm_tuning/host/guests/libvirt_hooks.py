"""Install the files that reapply settings however a guest is started.

libvirt runs the scripts in ``/etc/libvirt/hooks/qemu.d`` (since 6.5) when a
guest is prepared, started, migrated here, found again by a restarted daemon,
or has ended (https://libvirt.org/hooks.html). A script must not call libvirt:
ours writes an event to a directory, and systemd then starts ``kvm-tuning
guest reconcile``.
"""

from kvm_tuning.host.access import installed
from kvm_tuning.host.access.installed import UNITS, File
from kvm_tuning.host.access.system import System

#: Where events wait.
QUEUE = '/run/kvm-tuning/queue'
UNIT = 'kvm-tuning-reconcile'
SCRIPT = 'etc/libvirt/hooks/qemu.d/kvm-tuning'
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


_MARKED = installed.Mark(
    lambda raw: _MARK.encode() in raw.splitlines(), f'the line {_MARK!r}'
)


def files(program: str) -> tuple[File, ...]:
    """Return the files to install.

    :param program: path of the command ``kvm-tuning``.
    """
    service = _SERVICE.format(program=installed.in_unit(program))
    return (
        File(f'{UNITS}/{UNIT}.service', service),
        File(f'{UNITS}/{UNIT}.path', _PATH_UNIT),
        File(SCRIPT, _SCRIPT, 0o755),
    )


def install(system: System, program: str) -> list[str]:
    """Write the files that differ and return their paths.

    :raises SettingRejected: a file that is not ours is in the way and was
        left alone, or a file cannot be written.
    """
    return installed.install(system, files(program), _MARKED, f'{UNIT}.path')


def found(system: System) -> list[str]:
    """Return the paths of the files that are there.

    :raises SettingRejected: one is not ours.
    """
    return installed.there(system, _paths(), _MARKED, f'{UNIT}.path')


def remove(system: System) -> list[str]:
    """Remove the files and return their paths.

    :raises SettingRejected: one is not ours; nothing has been removed then.
    """
    return installed.remove(system, _paths(), _MARKED, f'{UNIT}.path')


def activate(system: System) -> None:
    """Have systemd load and start the new units.

    :raises SettingRejected: systemd refuses.
    """
    installed.systemctl(system, 'daemon-reload')
    installed.systemctl(system, 'start', f'{UNIT}.path')


def deactivate(system: System) -> None:
    """Stop the units before their files are removed.

    :raises SettingRejected: systemd refuses.
    """
    if installed.is_ours(system, f'{UNITS}/{UNIT}.path', _MARKED):
        installed.systemctl(system, 'stop', f'{UNIT}.path')


def _paths() -> list[str]:
    return [each.path for each in files('')]
