"""Runs unit tests in the folder that it is started in, as they are asked for.

    python cases.py collect MODULE    which lines each test of a module runs
    python cases.py run < NAMES       prints the first that fails, if any

``collect`` prints JSON: the tests, with their seconds, those that failed, and
of each file of kvm_tuning the numbers of the tests that ran a line. The name
of a class among the tests stands for what ran before its tests. Output of
tests goes to where stderr goes.
"""

from collections.abc import Iterator
import itertools
import json
import os
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
        measured.switch_context(module)
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
    return {
        'seconds': result.seconds,
        'failed': sorted(result.bad),
        'lines': {
            os.path.relpath(file, os.path.dirname(top)): {
                str(line): [name for name in names if name]
                for line, names in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        },
    }


def run(names: list[str]) -> str:
    """Run tests until one fails, and return its name, or nothing.

    A test that is not there, or cannot be loaded, has failed.
    """
    wanted = dict.fromkeys(names)
    for module in dict.fromkeys(_module(name) for name in names):
        loaded = unittest.defaultTestLoader.loadTestsFromName(module)
        found = {test.id(): test for test in _flat(loaded)}
        for name in [name for name in wanted if _module(name) == module]:
            if name not in found:
                return name
            result = _Result()
            unittest.TestSuite([found[name]]).run(result)
            if not result.wasSuccessful():
                return name
    return ''


def _module(name: str) -> str:
    """Return the module of a test: the part before its class."""
    parts = name.split('.')
    folder = ''
    for number, part in enumerate(parts):
        folder = os.path.join(folder, part)
        if os.path.isfile(folder + '.py'):
            return '.'.join(parts[: number + 1])
    return name


def main() -> None:
    """Do what the command line says."""
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    match sys.argv[1:]:
        case ['collect', module]:
            answer = json.dumps(collect(module))
        case _:
            answer = run(sys.stdin.read().split('\n'))
    with out:
        out.write(answer)
    # Threads that a mutant has left behind may wait for ever
    os._exit(0)


if __name__ == '__main__':
    main()
