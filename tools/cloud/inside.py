"""The namespaces that all of the cloud's processes are in.

``tools/private-libvirtd`` makes them, with a libvirtd of the cloud's own
under the usual paths; the cloud's :func:`hold` is the command that it waits
for. The kernel ends whatever is left in them when that ends.
"""

from collections.abc import Sequence
import contextlib
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import NoReturn

from tools.cloud.places import HERE, CloudError, folder, program, sub, tail
from tools.lib.checkout import TOP

#: Set in the processes that are inside.
INSIDE = 'KVM_TUNING_CLOUD'

# What is ours in there, by where others look for it.
_MOUNTS = {
    Path('/run/openvswitch'): 'run/openvswitch',
    Path('/etc/kvm-tuning'): 'etc/kvm-tuning',
}
_DEADLINE = 60


def is_inside() -> bool:
    """Return whether this process is in the namespaces."""
    return os.environ.get(INSIDE) == str(folder())


def exists() -> bool:
    """Return whether the namespaces are there."""
    return is_inside() or _first() is not None


def make() -> None:
    """Make the namespaces, with a libvirtd that answers.

    :raises CloudError: it cannot be had.
    """
    if exists():
        return
    shutil.rmtree(folder() / 'run', ignore_errors=True)
    for there, ours in _MOUNTS.items():
        there.mkdir(parents=True, exist_ok=True)
        sub(ours)
    log = sub('log') / 'libvirtd.log'
    with open(log, 'w') as output:
        holder = subprocess.Popen(
            [
                str(TOP / 'tools/private-libvirtd'), '--always',
                program('python'), str(HERE), 'hold',
            ],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=_environment(), start_new_session=True,
        )  # fmt: skip
    ready = folder() / 'run/ready'
    end = time.monotonic() + _DEADLINE
    while not ready.exists():
        if holder.poll() is not None or time.monotonic() > end:
            raise CloudError(f'no private libvirtd\n{tail(log)}')
        time.sleep(0.1)
    (sub('run') / 'outer.pid').write_text(str(holder.pid))


def hold() -> int:
    """Keep the namespaces until somebody ends this process."""
    for there, ours in _MOUNTS.items():
        subprocess.run(
            ['mount', '--bind', str(folder() / ours), str(there)], check=True
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (sub('run') / 'holder.pid').write_text(str(os.getpid()))
    (folder() / 'run/ready').touch()
    while True:
        signal.pause()


def end() -> None:
    """End the namespaces and all that is in them, from outside."""
    first = _first()
    if first is None:
        return
    outer = int((folder() / 'run/outer.pid').read_text())
    subprocess.run(
        [*_nsenter(first), 'kill', (folder() / 'run/holder.pid').read_text()],
        check=False,
    )
    deadline = time.monotonic() + _DEADLINE
    while _alive(outer):
        if time.monotonic() > deadline:
            os.kill(first, signal.SIGKILL)
            deadline += _DEADLINE
        time.sleep(0.1)
    shutil.rmtree(folder() / 'run', ignore_errors=True)
    for there in _MOUNTS:
        # Where the machine has nothing of its own
        with contextlib.suppress(OSError):
            there.rmdir()


def call(command: Sequence[str]) -> int:
    """Run a command inside; return its exit status.

    :raises CloudError: the cloud is not up.
    """
    return subprocess.call(_inside(command), env=_environment())


def become(command: Sequence[str]) -> NoReturn:
    """Let a command inside take this process's place, and its signals.

    :raises CloudError: the cloud is not up.
    """
    words = _inside(command)
    os.execvpe(words[0], words, _environment())  # noqa: S606


def _inside(command: Sequence[str]) -> list[str]:
    if is_inside():
        return list(command)
    first = _first()
    if first is None:
        raise CloudError('the cloud is not up: python tools/cloud up')
    # It ends with nsenter, which does not pass signals on
    return [
        *_nsenter(first), f'--wd={os.getcwd()}',
        'setpriv', '--pdeathsig', 'TERM', *command,
    ]  # fmt: skip


def again(*arguments: str) -> int:
    """Run this program inside; return its exit status."""
    return call([program('python'), str(HERE), *arguments])


def _environment() -> dict[str, str]:
    return os.environ | {INSIDE: str(folder())}


def _nsenter(first: int) -> list[str]:
    # --root: in a chroot the mount namespace's own root is not ours
    return [
        'nsenter', '--target', str(first), '--mount', '--pid',
        f'--root=/proc/{first}/root',
    ]  # fmt: skip


def _first() -> int | None:
    """Return the first process inside, by its number outside."""
    try:
        pid = int((folder() / 'run/outer.pid').read_text())
        ours = os.readlink('/proc/self/ns/pid')
        while os.readlink(f'/proc/{pid}/ns/pid') == ours:
            children = Path(f'/proc/{pid}/task/{pid}/children').read_text()
            pid = int(children.split()[0])
    except (OSError, IndexError):
        return None
    return pid


def _alive(pid: int) -> bool:
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'
