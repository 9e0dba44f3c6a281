"""Compile a program that measures, once, into the caller's cache.

A distribution's package brings it compiled.
"""

import hashlib
import importlib.resources
import os
import shutil
import subprocess

from kvm_tuning.core.exceptions import BenchFailed
from kvm_tuning.host.access import owned

#: Tried in this order.
COMPILERS = ('cc', 'gcc', 'clang')
#: Where a package puts what it has compiled, as :func:`file_name` calls it.
PACKAGED = '/usr/libexec/kvm-tuning'
_FLAGS = ('-std=gnu11', '-O2', '-pthread')
_SECONDS = 120.0


def built(name: str, cache: str | None = None) -> str:
    """Return the path of a program, compiled if it is not there yet.

    :param name: its source without ``.c``, next to this module.
    :param cache: the directory that keeps it; None: the caller's own.
    :raises BenchFailed: there is no compiler, it fails, or somebody else
        could have written the program.
    """
    packaged = os.path.join(PACKAGED, file_name(name))
    if os.path.isfile(packaged):
        return packaged
    directory = cache or _cache()
    path = os.path.join(directory, file_name(name))
    try:
        # It is made when it is missing, and is the caller's alone.
        os.close(
            owned.open_directory(
                directory, create=True, mode=0o700, links=True
            )
        )
        if not os.path.lexists(path):
            _compile(_source(name), path)
        owned.check(path)
    except OSError as error:
        raise BenchFailed(
            f'{path} cannot be used: {error.strerror or error}'
        ) from error
    return path


def file_name(name: str) -> str:
    """Return the name of a compiled program, of this source and machine."""
    told = _source(name) + os.uname().machine.encode()
    return f'bench-{name}-{hashlib.sha256(told).hexdigest()[:16]}'


def _source(name: str) -> bytes:
    source = importlib.resources.files(__package__) / f'{name}.c'
    return source.read_bytes()


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
