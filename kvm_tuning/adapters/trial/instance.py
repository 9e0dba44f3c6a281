"""A throw-away libvirt: started, asked, and gone with all that it made."""

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kvm_tuning.adapters.trial import capabilities

#: Seconds for one document. The first one takes 4 on an idle host.
TIMEOUT = 120.0

# Nothing of the host is to be made or changed: no folders below hugetlbfs,
# no control groups, no mount namespaces, no log daemon.
_QEMU_CONF = """\
hugetlbfs_mount = [ ]
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
remember_owner = 0
"""
# As another user it would find /dev/kvm closed where that is not in the group
# kvm (a container), though it has just asked QEMU as somebody who may open it;
# it would take what it keeps for outdated and ask again at every definition.
_AS_ROOT = """\
user = "root"
group = "root"
"""

_Version = tuple[int, int, int]


class Unavailable(Exception):
    """No throw-away libvirt can be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What libvirt says to one document."""

    #: How it writes the domain; None: it refuses it.
    xml: str | None
    #: Its own words.
    error: str = ''
    #: Whether the process ended over it.
    died: bool = False


class Instance:
    """A running one. After a death :attr:`alive` is false."""

    def __init__(
        self, process: 'subprocess.Popen[bytes]', timeout: float
    ) -> None:
        self._process = process
        self._timeout = timeout
        self._buffer = b''
        first = self._answer()
        if first is None:
            raise Unavailable(f'it {self._end()} when it was opened')
        if 'version' not in first:
            raise Unavailable(str(first.get('error')))
        number = int(str(first['version']))
        #: libvirt's.
        self.version: _Version = (
            number // 1_000_000,
            number // 1_000 % 1_000,
            number % 1_000,
        )

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def define(self, xml: str) -> Answer:
        """Return what libvirt makes of a domain's XML; nothing stays."""
        assert self._process.stdin is not None
        line = json.dumps({'xml': xml}).encode() + b'\n'
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._answer()
        except OSError:
            answer = None
        if answer is None:
            return Answer(
                None, f'libvirt {self._end()} when it read it', died=True
            )
        if answer['xml'] is None:
            return Answer(None, str(answer['error']))
        return Answer(str(answer['xml']))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._kill()

    def _answer(self) -> dict[str, object] | None:
        """Return its next line; None: it died, or was too slow."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        end = time.monotonic() + self._timeout
        while b'\n' not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self._kill()
                return None
            data = os.read(pipe, 1 << 20)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b'\n')
        return dict(json.loads(line))

    def _end(self) -> str:
        """Return how it ended, as the end of a sentence."""
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._kill()
            status = self._process.wait()
        if status == -signal.SIGKILL:
            return f'did not answer in {self._timeout:.0f} seconds'
        if status < 0:
            return f'died of {signal.Signals(-status).name}'
        return f'ended with status {status}'

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(
    timeout: float = TIMEOUT, kept: str | None = None
) -> Iterator[Instance]:
    """Start a throw-away libvirt, for the time of a ``with``.

    :param timeout: seconds for each answer.
    :param kept: where QEMU's capabilities are kept; None: where they belong.
    :raises Unavailable: it cannot be had.
    """
    if not sys.executable:
        raise Unavailable('the Python that runs is not known')
    kept = kept or capabilities.folder()
    root = tempfile.mkdtemp(prefix='kvm-tuning-trial.')
    try:
        _configure(root)
        capabilities.restore(kept, root)
        with _started(root) as process:
            instance = Instance(process, timeout)
            try:
                yield instance
            finally:
                capabilities.keep(root, kept)
                instance.close()
    finally:
        _end_strays(root)
        shutil.rmtree(root, ignore_errors=True)


def _configure(root: str) -> None:
    os.makedirs(os.path.join(root, 'etc'))
    with open(os.path.join(root, 'etc', 'qemu.conf'), 'x') as file:
        file.write(_QEMU_CONF + ('' if os.geteuid() else _AS_ROOT))


@contextlib.contextmanager
def _started(root: str) -> Iterator['subprocess.Popen[bytes]']:
    """Start the process, and see that it is gone at the end."""
    environment = {
        'PATH': '/usr/sbin:/usr/bin:/sbin:/bin',
        'LC_ALL': 'C.UTF-8',
        'HOME': root,
        'XDG_RUNTIME_DIR': root,
        'PYTHONPATH': os.pathsep.join(p for p in sys.path if os.path.isabs(p)),
    }
    process = subprocess.Popen(
        [sys.executable, '-P', '-m', 'kvm_tuning.adapters.trial.child', root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=root,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _end_strays(root: str) -> None:
    """End the QEMU that a libvirt which died had asked: it is a daemon by
    then, and names the folder.
    """
    folder = os.path.join(root, 'lib', 'qemu')
    for directory, _folders, files in os.walk(folder):
        for name in files:
            if name.endswith('.pid'):
                with contextlib.suppress(OSError, ValueError):
                    _end_stray(os.path.join(directory, name), root)


def _end_stray(path: str, root: str) -> None:
    with open(path) as file:
        pid = int(file.read(32))
    if pid <= 1:
        return
    handle = os.pidfd_open(pid)
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            if os.fsencode(root) in file.read(1 << 16):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
