"""Compile a program that measures, once, into the caller's cache."""

import hashlib
import importlib.resources
import os
import shutil
import subprocess

from kvm_tuning.core.exceptions import BenchFailed
from kvm_tuning.host.access import owned

#: Tried in this order.
COMPILERS = ('cc', 'gcc', 'clang')
_FLAGS = ('-std=gnu11', '-O2', '-pthread')
_SECONDS = 120.0


def built(name: str, cache: str | None = None) -> str:
    """Return the path of a program, compiled if it is not there yet.

    :param name: its source without ``.c``, next to this module.
    :param cache: the directory that keeps it; None: the caller's own.
    :raises BenchFailed: there is no compiler, it fails, or somebody else
        could have written the program.
    """
    source = importlib.resources.files(__package__) / f'{name}.c'
    text = source.read_bytes()
    directory = cache or _cache()
    version = hashlib.sha256(text + os.uname().machine.encode()).hexdigest()
    path = os.path.join(directory, f'bench-{name}-{version[:16]}')
    try:
        # It is made when it is missing, and is the caller's alone.
        os.close(
            owned.open_directory(
                directory, create=True, mode=0o700, links=True
            )
        )
        if not os.path.lexists(path):
            _compile(text, path)
        owned.check(path)
    except OSError as error:
        raise BenchFailed(
            f'{path} cannot be used: {error.strerror or error}'
        ) from error
    return path


def compiler() -> str:
    """Return the path of a C compiler.

    :raises BenchFailed: there is none.
    """
    for name in COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise BenchFailed(
        f'there is no C compiler ({", ".join(COMPILERS)}) in $PATH: install '
        "gcc and the C library's headers (Debian: gcc libc6-dev)"
    )


def _cache() -> str:
    home = os.path.expanduser('~')
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(home, '.cache')
    return os.path.join(os.path.abspath(base), 'kvm-tuning')


def _compile(text: bytes, path: str) -> None:
    unfinished = f'{path}.{os.getpid()}'
    try:
        done = subprocess.run(
            [compiler(), *_FLAGS, '-o', unfinished, '-x', 'c', '-'],
            input=text,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors='replace').strip().splitlines()
            raise BenchFailed(
                f'the C compiler fails: {said[0] if said else "no message"}'
            )
        os.chmod(unfinished, 0o700)
        os.replace(unfinished, path)
    except subprocess.TimeoutExpired as error:
        raise BenchFailed(
            f'the C compiler takes longer than {_SECONDS:.0f} s'
        ) from error
    finally:
        if os.path.lexists(unfinished):
            os.unlink(unfinished)
