"""Fail, or end, host-prep at each call that changes something.

usage: python -m tests.hostile.faults [--every N]

A library that is loaded before the C library's (fault_shim.c, compiled here)
counts the calls of apply, and of undo, that change something below the root:
open to write, write, fsync, rename, unlink, mkdir, chmod and so on. At each
call, or each Nth, the process is killed, or the call fails with ENOSPC, EIO
or EROFS. Then undo runs without a fault: all that was there before apply has
to be there again, to the byte, and nothing else. The host is a tree with one
of everything that host-prep sets.

Prints a table; refused are those that did not do all, and said so. Exit
status 1: something was lost, something else was raised than errors of ours or
of the system, or no fault of a kind was noticed; 2: there is no C compiler.
"""

import argparse
from collections import Counter
import ctypes
import errno
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import traceback

from kvm_tuning.core.exceptions import HookError, KvmTuningError
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep.apply import resume
from tests.fixtures import memory_dir, prepared, whole_host
from tests.fixtures.fake_kernel import FakeKernel

SHIM = Path(__file__).with_name('fault_shim.c')
KILL = -1
FAULTS = {
    'kill': KILL,
    'ENOSPC': errno.ENOSPC,
    'EIO': errno.EIO,
    'EROFS': errno.EROFS,
}
#: Exit statuses of the process that has the fault.
DONE, REFUSED, BROKEN = 0, 3, 4


def compiled(folder):
    """Return the library, compiled; None without a compiler."""
    compiler = shutil.which('cc') or shutil.which('gcc')
    if compiler is None:
        return None
    library = os.path.join(folder, 'fault_shim.so')
    subprocess.run(
        [compiler, '-shared', '-fPIC', '-o', library, str(SHIM), '-ldl'],
        check=True,
    )
    return library


class Shim:
    """The library in this process."""

    def __init__(self, library):
        self._library = ctypes.CDLL(library)

    def arm(self, root, at, error):
        self._library.fault_arm(os.fsencode(root), at, error)

    def pause(self, paused=True):
        self._library.fault_pause(int(paused))

    def count(self):
        return self._library.fault_count()

    def point(self):
        """Count a call that is not one of the C library.

        :raises OSError: it is this one that fails.
        """
        number = self._library.fault_point()
        if number:
            raise OSError(number, os.strerror(number))


class FaultyKernel(FakeKernel):
    """The kernel's own answers to a write, and programs, are one call each;
    files are synced as on a real disk.
    """

    def __init__(self, root, shim):
        super().__init__(root)
        self._shim = shim

    def _sync(self, handle):
        System._sync(self, handle)

    def _deliver(self, real, text):
        self._once(lambda: super(FaultyKernel, self)._deliver(real, text))

    def _execute(self, command):
        self._once(lambda: super(FaultyKernel, self)._execute(command))

    def _once(self, act):
        self._shim.point()
        self._shim.pause()
        try:
            act()
        finally:
            self._shim.pause(False)


def apply(kernel):
    """Apply, as the command does; return whether all of it was done."""
    mended = resume(prepared.context(kernel))
    root = kernel.root
    done = prepared.apply(
        kernel, whole_host.items(root), whole_host.terms(root)
    )
    return not (mended.failed or done.failed)


def undo(kernel):
    """Undo, as the command does; return whether all of it was done."""
    return not prepared.take_back(kernel).failed


def attempt(shim, act, root, at, error):
    """Return the exit status of ``act`` with a fault, and its calls."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            kernel = FaultyKernel(root, shim)
            shim.arm(root, at, error)
            try:
                status = DONE if act(kernel) else REFUSED
            except HookError:
                traceback.print_exc()
            except (KvmTuningError, OSError):
                status = REFUSED
            except Exception:
                traceback.print_exc()
            shim.pause()
            os.write(writer, str(shim.count()).encode())
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, int(said or 0)


def state(root):
    """Return a tree without what a kernel leaves behind by itself."""
    found = prepared.snapshot(root)
    for name in ('pages_shared', 'pages_sharing'):
        found.pop(f'sys/kernel/mm/ksm/{name}', None)
    prepared.forget_modules(found)
    return found


def lost(shim, root, before):
    """Undo what a fault left; return what is not as before."""
    # A journal that could not be written may take two
    status, _calls = attempt(shim, undo, root, 0, 0)
    if status != DONE:
        return {'undo': f'ended with {status}'}
    return prepared.differences(state(root), before)


def cases(shim, act, origin, every):
    """Yield the fault and number of each call, and of how many."""
    with tempfile.TemporaryDirectory(dir=memory_dir.place()) as scratch:
        root = os.path.join(scratch, 'count')
        shutil.copytree(origin, root, symlinks=True)
        status, calls = attempt(shim, act, root, 0, 0)
        if status != DONE:
            raise AssertionError(f'{act.__name__} without a fault: {status}')
    for name in FAULTS:
        for at in range(1, calls + 1, every):
            yield name, at, calls


def expected(name, status):
    """Return whether a process may end like this after a fault."""
    return status == -9 if name == 'kill' else status in (DONE, REFUSED)


def run(shim, every):
    """Print the table; return whether all was well."""
    good = True
    heads = ('act', 'fault', 'calls', 'tried', 'refused', 'lost')
    print(''.join(f'{head:>8}' for head in heads))
    with tempfile.TemporaryDirectory(dir=memory_dir.place()) as folder:
        origin, made = f'{folder}/origin', f'{folder}/made'
        whole_host.build(origin)
        before = state(origin)
        shutil.copytree(origin, made, symlinks=True)
        if attempt(shim, apply, made, 0, 0)[0] != DONE:
            raise AssertionError('apply without a fault failed')
        for act, start in ((apply, origin), (undo, made)):
            rows = {name: Counter() for name in FAULTS}
            for name, at, calls in cases(shim, act, start, every):
                root = f'{folder}/tried'
                shutil.copytree(start, root, symlinks=True)
                status, _calls = attempt(shim, act, root, at, FAULTS[name])
                wrong = lost(shim, root, before)
                bad = bool(wrong) or not expected(name, status)
                rows[name]['calls'] = calls
                rows[name].update(tried=1, refused=status == REFUSED, lost=bad)
                if bad:
                    print(f'{act.__name__} {name} at {at}: {status} {wrong}')
                shutil.rmtree(root)
            for name, row in rows.items():
                numbers = [row[head] for head in heads[2:]]
                print(
                    f'{act.__name__:>8}{name:>8}'
                    + ''.join(f'{number:>8}' for number in numbers)
                )
                hit = row['refused'] or name == 'kill'
                good = good and bool(hit) and not row['lost']
    return good


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--every', type=int, default=1)
    parser.add_argument('--loaded', help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loaded:
        return int(not run(Shim(given.loaded), given.every))
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(folder)
        if library is None:
            print('There is no C compiler', file=sys.stderr)
            return 2
        return subprocess.run(
            [
                sys.executable, '-m', 'tests.hostile.faults',
                '--every', str(given.every), '--loaded', library,
            ],
            env={**os.environ, 'LD_PRELOAD': library},
        ).returncode  # fmt: skip


if __name__ == '__main__':
    sys.exit(main())
