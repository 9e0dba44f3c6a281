"""Copies of a tree, in which one file at a time is another one."""

from collections.abc import Iterator
import compileall
from contextlib import contextmanager
from dataclasses import dataclass
import json
import os
from pathlib import Path
import queue
import shutil
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from tools.lib.checkout import ToolError

#: Seconds that tests may take beyond five times what they took before.
PATIENCE = 30.0
KILLED, ENDLESS, SURVIVED, UNRUN = 'killed', 'endless', 'survived', 'not run'
OUTCOMES = {'failed': KILLED, 'endless': ENDLESS, 'passed': SURVIVED}

CASES = Path(__file__).with_name('cases.py')
_LEFT = shutil.ignore_patterns(
    '.git', '.venv*', '.cache', '.tox', '.stestr', '.*_cache', '.coverage*',
    'cover', 'dist',
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, and the test that noticed, if one did."""

    outcome: str
    test: str = ''


class Copy:
    """One copy, and the process that runs its tests; see cases.py."""

    def __init__(self, tree: Path, place: Path) -> None:
        shutil.copytree(tree, place, symlinks=True, ignore=_LEFT)
        for folder in ('kvm_tuning', 'tests'):
            # What is compiled already has been copied, with its times
            compileall.compile_dir(place / folder, quiet=2)
        self.tree = place
        self._process = subprocess.Popen(
            [sys.executable, str(CASES)],
            cwd=place,
            env={**os.environ, 'PYTHONPATH': str(place)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer of the process.

        :raises ToolError: it has ended.
        """
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + '\n')
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise ToolError(f'{CASES} has ended: {error}') from None

    @contextmanager
    def having(self, path: str, text: str) -> Iterator[None]:
        """Give a file another text for a while."""
        file = self.tree / path
        before, times = file.read_text(), file.stat()
        try:
            file.write_text(text)
            # So that no compiled file can be taken for this text's
            os.utime(file, (0, 0))
            yield
        finally:
            file.write_text(before)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    def close(self) -> None:
        self._process.communicate()


class Copies:
    """Copies of a tree for as many mutants at a time."""

    def __init__(self, tree: Path, place: Path, count: int) -> None:
        self.all = [Copy(tree, place / str(number)) for number in range(count)]
        self._free: queue.Queue[Copy] = queue.Queue()
        for copy in self.all:
            self._free.put(copy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for copy in self.all:
            copy.close()

    @property
    def tree(self) -> Path:
        """The first copy's, while no mutant is tried."""
        return self.all[0].tree

    @contextmanager
    def one(self) -> Iterator[Copy]:
        """Lend a copy that nobody else uses."""
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def attempt(
        self, path: str, text: str, tests: dict[str, float]
    ) -> Verdict:
        """Run tests, by the seconds they took, with another text of a file."""
        if not tests:
            return Verdict(UNRUN)
        patience = PATIENCE + 5 * sum(tests.values())
        request = {'run': tests, 'seconds': patience}
        with self.one() as copy, copy.having(path, text):
            found = copy.ask(request)
        return Verdict(OUTCOMES[found['outcome']], found['test'])
