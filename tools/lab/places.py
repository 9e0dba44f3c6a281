"""Where the lab keeps what it makes, and when that is out of date."""

from collections.abc import Iterable, Iterator
import contextlib
import fcntl
import hashlib
from pathlib import Path
import time

from tools.lib.checkout import CACHE, TOP, ToolError, made_in

HERE = Path(__file__).resolve().parent

_started = time.monotonic()


class LabError(ToolError):
    """The lab cannot be built or started; the message says what to do."""


def folder() -> Path:
    """Return the lab's folder, made if it is missing."""
    return made_in('lab')


def say(message: str) -> None:
    """Print a line, with the seconds since the start."""
    seconds = time.monotonic() - _started
    print(f'lab {seconds:6.1f} s  {message}', flush=True)


def digest(things: Iterable[str | Path]) -> str:
    """Return one name for texts, files and folders, by their content."""
    made = hashlib.sha256()
    for thing in things:
        if isinstance(thing, str):
            made.update(thing.encode())
            continue
        paths = [thing] if thing.is_file() else sorted(thing.rglob('*'))
        for path in paths:
            made.update(str(path.relative_to(TOP)).encode())
            if path.is_file():
                made.update(path.read_bytes())
                made.update(oct(path.stat().st_mode).encode())
        made.update(b'\0')
    return made.hexdigest()[:16]


def is_made(target: Path, wanted: str) -> bool:
    """Return whether ``target``'s stamp says ``wanted``."""
    stamp = _stamp(target)
    return target.exists() and stamp.exists() and stamp.read_text() == wanted


def made(target: Path, stamp: str) -> None:
    """Note what ``target`` was made from."""
    _stamp(target).write_text(stamp)


def unmade(target: Path) -> None:
    """Forget what ``target`` was made from, before it is made anew."""
    _stamp(target).unlink(missing_ok=True)


def _stamp(target: Path) -> Path:
    return target.with_name(target.name + '.stamp')


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lab for this process: it is one machine.

    :raises LabError: another process has it.
    """
    with open(folder() / 'lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(
                f'another process uses the lab in {folder()}; wait for it, '
                f'or set {CACHE} to another folder'
            ) from error
        yield
