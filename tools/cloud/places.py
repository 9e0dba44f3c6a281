"""Where the cloud keeps what it makes."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path
import time

from tools.lib.checkout import CACHE, ToolError, made_in

HERE = Path(__file__).resolve().parent

#: When the program was started that started this one: one clock for all.
STARTED = 'KVM_TUNING_CLOUD_STARTED'

_started = float(os.environ.setdefault(STARTED, str(time.monotonic())))


class CloudError(ToolError):
    """The cloud cannot be installed or started; the message says why."""


def folder() -> Path:
    """Return the cloud's folder, made if it is missing."""
    return made_in('cloud')


def sub(name: str) -> Path:
    """Return a folder in the cloud's folder, made if it is missing."""
    path = folder() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def program(name: str) -> str:
    """Return the path of a program of the cloud's virtual environment."""
    return str(folder() / 'venv/bin' / name)


def say(message: str) -> None:
    """Print a line, with the seconds since the start."""
    seconds = time.monotonic() - _started
    print(f'cloud {seconds:6.1f} s  {message}', flush=True)


def tail(path: Path, lines: int = 15) -> str:
    """Return the end of a log."""
    if not path.exists():
        return f'{path} does not exist'
    text = path.read_text(errors='replace').splitlines()
    return '\n'.join([f'the end of {path}:', *text[-lines:]])


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the cloud for this process while it starts or stops.

    :raises CloudError: another process does.
    """
    with open(folder() / 'lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CloudError(
                f'another process starts or stops the cloud in {folder()}; '
                f'wait for it, or set {CACHE} to another folder'
            ) from error
        yield
