"""Runs unit tests of the folder that it is started in, each time in a child.

    python cases.py

reads requests from stdin and answers each on stdout, a line of JSON each:

    {"collect": MODULE}
        which lines of kvm_tuning each test of a module runs: "seconds" and
        "failed" by test, "lines" by file and line, as numbers of "names"
    {"run": {TEST: SECONDS...}, "seconds": PATIENCE}
        {"outcome": "failed", "test": TEST} at the first that fails; "passed";
        "endless" after so many seconds, or where a test takes five times its
        own seconds, and five more, of CPU

What other packages the tests import is imported once, before any request. Of
the folder itself nothing is: each child imports it as it then is. The name of
a class among the names stands for what ran before its tests. Output of tests
goes to where stderr goes.
"""

from collections.abc import Callable, Iterator
import contextlib
import ctypes
import importlib
import itertools
import json
import os
import select
import signal
import sys
import time
from typing import Any
import unittest

import coverage

sys.path[0] = os.getcwd()
sys.dont_write_bytecode = True


def _flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flat(each)
        else:
            yield each


def _class(name: str) -> str:
    return name.rpartition('.')[0]


class _Result(unittest.TestResult):
    """Notes seconds and the tests that did not pass."""

    def __init__(self, measured: coverage.Coverage | None = None) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}
        self.bad: set[str] = set()
        self._measured = measured
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._began = time.monotonic()
        if self._measured:
            self._measured.switch_context(test.id())

    def stopTest(self, test: unittest.TestCase) -> None:
        if self._measured:
            self._measured.switch_context(_class(test.id()))
        self.seconds[test.id()] = round(time.monotonic() - self._began, 3)
        if len(self.failures) + len(self.errors) > len(self.bad):
            self.bad.add(test.id())
        super().stopTest(test)


def collect(module: str) -> dict[str, Any]:
    """Return what each test of a module runs."""
    top = os.path.abspath('kvm_tuning')
    measured = coverage.Coverage(
        data_file=None, config_file=False, source=[top], messages=False
    )
    measured.start()
    result = _Result(measured)
    try:
        # Of what is run at import, no test can be named
        measured.switch_context('')
        tests = _flat(unittest.defaultTestLoader.loadTestsFromName(module))
        for name, group in itertools.groupby(
            tests, key=lambda test: _class(test.id())
        ):
            # What setUpClass runs belongs to all tests of the class
            measured.switch_context(name)
            unittest.TestSuite(group).run(result)
    finally:
        measured.stop()
    data = measured.get_data()
    numbers: dict[str, int] = {}
    lines: dict[str, dict[int, list[int]]] = {}
    for file in data.measured_files():
        found = {
            line: [
                numbers.setdefault(name, len(numbers))
                for name in names
                if name
            ]
            for line, names in data.contexts_by_lineno(file).items()
            if any(names)
        }
        if found:
            lines[os.path.relpath(file, os.path.dirname(top))] = found
    return {
        'seconds': result.seconds,
        'failed': sorted(result.bad),
        'names': list(numbers),
        'lines': lines,
    }


def run(tests: dict[str, float]) -> dict[str, Any]:
    """Run tests, by the seconds that they take, until one fails; SIGPROF ends
    the process that takes far longer.

    A test that is not there, or cannot be loaded, has failed.
    """
    for module in dict.fromkeys(map(_module, tests)):
        loaded = unittest.defaultTestLoader.loadTestsFromName(module)
        found = {test.id(): test for test in _flat(loaded)}
        for name in [name for name in tests if _module(name) == module]:
            result = _Result()
            signal.setitimer(signal.ITIMER_PROF, 5 + 5 * tests[name])
            if name in found:
                unittest.TestSuite([found[name]]).run(result)
            if name not in found or not result.wasSuccessful():
                return {'outcome': 'failed', 'test': name}
    return {'outcome': 'passed', 'test': ''}


def _module(name: str) -> str:
    """Return the module of a test: the part before its class."""
    parts = name.split('.')
    folder = ''
    for number, part in enumerate(parts):
        folder = os.path.join(folder, part)
        if os.path.isfile(folder + '.py'):
            return '.'.join(parts[: number + 1])
    return name


def in_child(act: Callable[[], Any], seconds: float | None) -> Any:
    """Return what ``act`` does in a child, which has not changed this process;
    None where it ended before, ``...`` where it took too long.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Its own session, so that its own children end with it
        os.setsid()
        _end_with_the_parent()
        os.close(reader)
        try:
            answer = json.dumps(act())
            with os.fdopen(writer, 'w') as out:
                out.write(answer)
        finally:
            # Threads that a mutant has left behind may wait for ever
            os._exit(0)
    os.close(writer)
    try:
        text, ended = _read(reader, seconds)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not ended or status == -signal.SIGPROF:
        return ...
    return json.loads(text) if text else None


def _end_with_the_parent() -> None:
    """Have the kernel kill this process when its parent ends (prctl(2))."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _read(reader: int, seconds: float | None) -> tuple[bytes, bool]:
    """Return what is written, and whether its end was reached in time."""
    end = None if seconds is None else time.monotonic() + seconds
    text = b''
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            return text, False
        more = os.read(reader, 1 << 20)
        if not more:
            return text, True
        text += more


def _foreign() -> list[str]:
    """Return the modules of others that all tests import."""
    for top in ('kvm_tuning', 'tests.unit'):
        with contextlib.suppress(Exception):
            importlib.import_module(top)
    for folder, _folders, files in os.walk('tests/unit'):
        for file in files:
            if file.startswith('test_') and file.endswith('.py'):
                path = os.path.relpath(os.path.join(folder, file))
                with contextlib.suppress(Exception):
                    importlib.import_module(path[:-3].replace(os.sep, '.'))
    return sorted(set(sys.modules) - set(_ours()))


def _ours() -> list[str]:
    """Return the modules that come from this folder, and what they are in."""
    here = os.path.join(os.getcwd(), '')
    tops = {
        name.partition('.')[0]
        for name, module in sys.modules.items()
        if (getattr(module, '__file__', None) or '').startswith(here)
    }
    return [name for name in sys.modules if name.partition('.')[0] in tops]


def reply(request: dict[str, Any]) -> Any:
    """Return the answer to one request."""
    if 'collect' in request:
        return in_child(lambda: collect(request['collect']), None)
    found = in_child(lambda: run(request['run']), request['seconds'])
    if found is ...:
        return {'outcome': 'endless', 'test': ''}
    return found or {'outcome': 'failed', 'test': 'the process of the tests'}


def main() -> None:
    """Answer requests until there are no more."""
    _end_with_the_parent()
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    lines = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in in_child(_foreign, None) or ():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # A child would not import it again
    assert not _ours(), _ours()
    for line in lines:
        out.write(json.dumps(reply(json.loads(line))) + '\n')
        out.flush()


if __name__ == '__main__':
    main()
