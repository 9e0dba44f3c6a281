"""Copies of a tree, in which one file at a time is another one."""

from collections.abc import Iterator
import compileall
from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import queue
import shutil
import signal
import subprocess
import sys

from tools.mutation.measured import CASES

#: Seconds that tests may take beyond thrice what they took before.
PATIENCE = 20.0
KILLED, ENDLESS, SURVIVED, UNRUN = 'killed', 'endless', 'survived', 'not run'

_LEFT = shutil.ignore_patterns(
    '.git', '.venv*', '.cache', '.tox', '.stestr', '.*_cache', '.coverage*',
    '__pycache__', 'cover', 'dist',
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, and the test that noticed, if one did."""

    outcome: str
    test: str = ''


class Copies:
    """Copies of a tree for as many mutants at a time."""

    def __init__(self, tree: Path, place: Path, count: int) -> None:
        self._free: queue.Queue[Path] = queue.Queue()
        for number in range(count):
            copy = place / str(number)
            shutil.copytree(tree, copy, symlinks=True, ignore=_LEFT)
            for folder in ('kvm_tuning', 'tests'):
                compileall.compile_dir(copy / folder, quiet=2)
            self._free.put(copy)

    def first(self) -> Path:
        """Return a copy, while no mutant is tried."""
        copy = self._free.get()
        self._free.put(copy)
        return copy

    def attempt(
        self, path: str, text: str, tests: list[str], seconds: float
    ) -> Verdict:
        """Run tests, which took ``seconds``, with another text of a file."""
        if not tests:
            return Verdict(UNRUN)
        with self._with(path, text) as tree:
            return _run(tree, tests, PATIENCE + 3 * seconds)

    @contextmanager
    def _with(self, path: str, text: str) -> Iterator[Path]:
        tree = self._free.get()
        file = tree / path
        before, times = file.read_text(), file.stat()
        try:
            file.write_text(text)
            # So that no compiled file can be taken for this text's
            os.utime(file, (0, 0))
            yield tree
        finally:
            file.write_text(before)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            self._free.put(tree)


def _run(tree: Path, tests: list[str], patience: float) -> Verdict:
    process = subprocess.Popen(
        [sys.executable, str(CASES), 'run'],
        cwd=tree,
        env={**os.environ, 'PYTHONPATH': str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        failed, _none = process.communicate('\n'.join(tests), patience)
    except subprocess.TimeoutExpired:
        return Verdict(ENDLESS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        return Verdict(KILLED, 'the process of the tests')
    return Verdict(KILLED, failed) if failed else Verdict(SURVIVED)
