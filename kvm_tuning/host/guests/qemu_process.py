"""Which process is the QEMU of a guest, and who says so.

Anybody can start a program with the arguments of somebody else's guest. What
acts on a process therefore takes only libvirt's own: named by the pid file in
libvirt's directory or held in libvirt's control group, run by libvirt's user,
and of a QEMU that root has installed. What only looks may take a QEMU that
root has installed without that; its name is what it claims.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
import os
import re
import stat

from kvm_tuning.core import whole
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Unknown
from kvm_tuning.host.access import owned
from kvm_tuning.host.access.proc import Process, processes
from kvm_tuning.host.access.sysfs import Tree

#: Where libvirt's QEMU driver keeps pid files, for the system and for a user
#: (virPidFileBuildPath; the driver's stateDir).
_RUN = ('run/libvirt/qemu', 'var/run/libvirt/qemu')
_USERS_RUN = 'run/user/{}/libvirt/qemu/run'
#: libvirt gives it to the user that it runs QEMU as (qemuStateInitialize).
_STATE = 'var/lib/libvirt/qemu'
# machine-qemu\x2d1\x2dweb.scope below systemd, qemu-1-web.libvirt-qemu
# elsewhere (virCgroupNewDetectMachine).
_GROUP = re.compile(
    r':/(?:\S*/)?(?:machine-qemu(?:\\x2d|-)\S+\.scope|\S+\.libvirt-qemu)'
    r'(?:/|$)',
    re.MULTILINE,
)
_SESSION = re.compile(r':/(?:\S*/)?user\.slice(?:/|$)', re.MULTILINE)
_UUID = re.compile(rb'\0-uuid\0([0-9A-Fa-f-]{36})\0')
_PROGRAM = re.compile(r'(?:qemu|kvm)[\w.-]*\Z')
_KERNELS = re.compile(r'vhost-([0-9]{1,10})\Z')
_PID_BYTES = 32
# libvirt gives the UUID before the devices.
_MOST_ARGUMENTS = 1 << 20
# kthreadd, the parent of all kernel threads.
_KTHREADD = '2'


@dataclass(frozen=True, slots=True)
class Found:
    """The process of a guest."""

    pid: int
    #: None: it is libvirt's. Otherwise why that is not known.
    claimed: str | None = None


class Processes:
    """The processes below ``root``, each looked at once.

    Made for one audit: what starts afterwards is not in it.
    """

    def __init__(self, root: str = '/') -> None:
        self.root = root

    def libvirts(self, uuid: str, name: str) -> int:
        """Return the process that is libvirt's QEMU of a guest.

        :raises InventoryUnreadable: there is none; the message says what
            keeps a process from being it.
        """
        found = self._best(uuid, name)
        if found.claimed is not None:
            raise InventoryUnreadable(
                f'process {found.pid} has the arguments of guest '
                f'{name or uuid}, but {found.claimed}: nothing is changed'
            )
        return found.pid

    def claimed(self, uuid: str, name: str) -> Found:
        """Return the process that is, or calls itself, a guest: for what
        only looks.

        :raises InventoryUnreadable: there is none, or it is not a QEMU that
            root has installed.
        """
        found = self._best(uuid, name)
        if found.claimed is not None:
            doubt = _program(Process(found.pid, self.root), sure=True)
            if doubt is not None:
                raise InventoryUnreadable(
                    f'process {found.pid} has the arguments of guest '
                    f'{name or uuid}, but {doubt}'
                )
        return found

    @cached_property
    def kernels(self) -> Mapping[int, tuple[int, ...]]:
        """Kernel threads called ``vhost-PID``, by that process (Linux before
        6.4).
        """
        found: dict[int, list[int]] = {}
        for pid in self._all:
            try:
                process = Process(pid, self.root)
                name = process.text('comm')
                match = None
                if not isinstance(name, Unknown):
                    match = _KERNELS.match(name.rstrip('\n'))
                # Any process can give itself such a name.
                if match and kernels(process) is not False:
                    found.setdefault(int(match[1]), []).append(pid)
            except InventoryUnreadable:
                # It has ended since.
                continue
        return {pid: tuple(tids) for pid, tids in found.items()}

    @cached_property
    def _all(self) -> tuple[int, ...]:
        return tuple(processes(self.root))

    @cached_property
    def qemus(self) -> tuple[int, ...]:
        """The processes that are a QEMU which root has installed, whoever
        started it.
        """
        return tuple(pid for pid in self._looked[1] if self._installed(pid))

    def _installed(self, pid: int) -> bool:
        try:
            doubt = _program(Process(pid, self.root), sure=False)
        except InventoryUnreadable:
            return False
        # A recorded /proc may lack the link.
        link = os.path.join(self.root, 'proc', str(pid), 'exe')
        recorded = os.path.realpath(self.root) != '/'
        return doubt is None or (recorded and not os.path.lexists(link))

    @property
    def _by_uuid(self) -> Mapping[str, tuple[int, ...]]:
        return self._looked[0]

    @cached_property
    def _looked(self) -> tuple[Mapping[str, tuple[int, ...]], list[int]]:
        """The processes by the UUID in their arguments, and those that were
        started as QEMU: each command line is read once.
        """
        found: dict[str, list[int]] = {}
        qemus = []
        for pid in self._all:
            cmdline = self._cmdline(pid)
            uuid = _uuid(cmdline)
            if uuid is not None:
                found.setdefault(uuid, []).append(pid)
            program = os.path.basename(cmdline.partition(b'\0')[0])
            if _PROGRAM.match(program.decode('utf-8', 'replace')):
                qemus.append(pid)
        return {uuid: tuple(pids) for uuid, pids in found.items()}, qemus

    @cached_property
    def _users(self) -> frozenset[int]:
        """Who runs libvirt's QEMU: root, the owner of libvirt's directory,
        and the caller, whose session it may be.
        """
        found = {0, os.geteuid()}
        try:
            found.add(os.stat(os.path.join(self.root, _STATE)).st_uid)
        except OSError:
            return frozenset()
        return frozenset(found)

    def _best(self, uuid: str, name: str) -> Found:
        """:raises InventoryUnreadable: nothing has the guest's arguments."""
        uuid = uuid.lower()
        doubtful = None
        for pid, listed in self._candidates(uuid, name):
            try:
                doubt = self._doubt(Process(pid, self.root), listed)
            except InventoryUnreadable:
                continue
            if doubt is None:
                return Found(pid)
            doubtful = doubtful or Found(pid, doubt)
        if doubtful is not None:
            return doubtful
        raise InventoryUnreadable(
            f'no process below {os.path.join(self.root, "proc")} is the QEMU '
            f'of guest {name or uuid}: it is not running, or runs in another '
            f'PID namespace'
        )

    def _candidates(self, uuid: str, name: str) -> Iterator[tuple[int, bool]]:
        """Yield processes with the guest's arguments, and whether libvirt's
        pid file names each.
        """
        for pid in self._listed(name):
            if _uuid(self._cmdline(pid)) == uuid:
                yield pid, True
        for pid in self._by_uuid.get(uuid, ()):
            yield pid, False

    def _listed(self, name: str) -> Iterator[int]:
        # The name of a domain is a file's name (virDomainDefPostParse).
        if not name or '/' in name:
            return
        user = os.geteuid()
        own = (_USERS_RUN.format(user),) if user else ()
        for folder in (*_RUN, *own):
            path = f'{folder}/{name}.pid'
            try:
                text = owned.read(path, _PID_BYTES, self.root)
                if text is not None:
                    yield int(text)
            except (OSError, ValueError):
                continue

    def _cmdline(self, pid: int) -> bytes:
        """Return the arguments of a process; none where they are hidden."""
        try:
            return _arguments(Process(pid, self.root))
        except InventoryUnreadable:
            return b''

    def _doubt(self, process: Process, listed: bool) -> str | None:
        """Return why a process is not known to be libvirt's; None: it is."""
        text = _groups(process)
        if not listed and not _GROUP.search(text):
            return "neither libvirt's pid file nor its control group has it"
        user = _user(process)
        if self._users and user is not None and user not in self._users:
            return f'it runs as uid {user}, not as the user of libvirt'
        if _SESSION.search(text) and user != os.geteuid():
            return "it runs in a user's session"
        return _program(process, sure=os.geteuid() == 0)


def _uuid(cmdline: bytes) -> str | None:
    match = _UUID.search(cmdline)
    return match[1].decode().lower() if match else None


def kernels(process: Process) -> bool | None:
    """Tell whether a process is a kernel thread; None where the kernel does
    not say.
    """
    status = process.fields('status')
    if isinstance(status, Unknown) or 'PPid' not in status:
        return None
    return status['PPid'] == _KTHREADD


def uuid(process: Process) -> str | None:
    """Return the UUID in QEMU's arguments, in lower case; None without."""
    return _uuid(_arguments(process))


def _arguments(process: Process) -> bytes:
    cmdline = process.raw('cmdline', _MOST_ARGUMENTS)
    return b'' if isinstance(cmdline, Unknown) else cmdline


def in_control_group(process: Process) -> bool:
    """Tell whether libvirt has put a process into a guest's control group:
    its QEMU, and what runs for it (swtpm, virtiofsd).
    """
    return _GROUP.search(_groups(process)) is not None


def _groups(process: Process) -> str:
    found = process.text('cgroup')
    return '' if isinstance(found, Unknown) else found


def _user(process: Process) -> int | None:
    """Return the effective uid; None where the kernel does not say."""
    status = process.fields('status')
    words = (
        [] if isinstance(status, Unknown) else status.get('Uid', '').split()
    )
    return whole.number(words[1]) if len(words) > 1 else None


def _program(process: Process, sure: bool) -> str | None:
    """Return why a process is not a QEMU that root has installed.

    :param sure: count an executable that may not be looked at as a doubt.
        The kernel shows it to root and to the process's own user.
    """
    link = os.path.join(process.root, 'proc', str(process.pid), 'exe')
    try:
        target = os.readlink(link)
        found = _executable(process.root, link, target)
    except OSError as error:
        if not sure and isinstance(error, PermissionError):
            return None
        return f'its executable cannot be seen: {error.strerror}'
    name = os.path.basename(target).removesuffix(' (deleted)')
    if not _PROGRAM.match(name):
        return f'its executable {target!a} is not QEMU'
    if found.st_uid not in owned.Owners(process.root).users - _callers():
        return f'its executable {target!a} belongs to uid {found.st_uid}'
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f'its executable {target!a} can be written by others'
    return None


def _callers() -> frozenset[int]:
    return frozenset({os.geteuid()} - {0})


def _executable(root: str, link: str, target: str) -> os.stat_result:
    """Return what a process runs: also where its file was replaced since, or
    is another mount namespace's.
    """
    if os.path.realpath(root) == '/':
        return os.stat(link)
    tree = Tree(root)
    real = tree.real(target.lstrip('/').removesuffix(' (deleted)'))
    return os.stat(os.path.join(root, real or target.lstrip('/')))
