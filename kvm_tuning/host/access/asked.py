"""Asks programs of the host that only read, where this is that host."""

from collections.abc import Sequence
import shutil
import subprocess

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import ENVIRONMENT

_SECONDS = 10.0


def answer(tree: Tree, command: Sequence[str]) -> str | None:
    """Return what a program prints; None when the tree is another machine's,
    or the program is not there, fails, or takes longer than 10 s.
    """
    if not tree.is_this_host:
        return None
    if shutil.which(command[0], path=ENVIRONMENT['PATH']) is None:
        return None
    try:
        done = subprocess.run(
            list(command),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors='surrogateescape')
