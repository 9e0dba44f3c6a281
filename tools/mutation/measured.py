"""Which test runs which line, measured once and kept."""

import ast
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
import hashlib
import itertools
import json
from pathlib import Path
import sys
from typing import Any

from tools.lib.checkout import ToolError
from tools.mutation.copies import Copies
from tools.mutation.sites import Site

Place = tuple[str, int]
#: The line that stands for a module of tests, whose lines are not measured.
_WHOLE = 0
FIXTURES = 'tests/fixtures'
#: Tests of the whole package: of its source texts, and of what it prints.
EVERYWHERE = ('tests.unit.test_conventions.', 'tests.unit.test_present.')


@dataclass
class Lines:
    """The tests of each line, their seconds, and the lines of each name."""

    seconds: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    tests: dict[Place, set[str]] = field(default_factory=dict)
    named: dict[str, set[Place]] = field(default_factory=dict)

    def of(self, path: str, site: Site) -> list[str]:
        """Return the tests that may notice a change, the quickest first."""
        if site.at_import:
            found = {
                test for test in self.seconds if test.startswith(EVERYWHERE)
            } - self.failed
            found |= self._at(
                place
                for name in site.names
                for place in self.named.get(name, ())
            ) or self._at(place for place in self.tests if place[0] == path)
        else:
            # What runs in a forked process is not measured, and its tests run
            # other lines of the file
            found = self._at((path, line) for line in site.lines) or self._at(
                place for place in self.tests if place[0] == path
            )
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def quickest(self, tests: list[str], seconds: float) -> dict[str, float]:
        """Return the first tests, of so many seconds; one at least, and those
        of the whole package.
        """
        sums = itertools.accumulate(self.seconds[test] for test in tests)
        count = max(1, sum(spent <= seconds for spent in sums))
        chosen = tests[:count] + [
            test for test in tests[count:] if test.startswith(EVERYWHERE)
        ]
        return {test: self.seconds[test] for test in chosen}

    def _at(self, places: Iterable[Place]) -> set[str]:
        found: set[str] = set()
        for place in places:
            found |= self.tests.get(place, set())
        return found - self.failed


def measure(trees: Copies, kept: Path) -> Lines:
    """Return what each unit test of a tree runs.

    What is in ``kept`` is used where neither the module of the tests, nor the
    fixtures, nor a file that its tests ran has changed since.

    :raises ToolError: a module of tests cannot be run.
    """
    tree = trees.tree
    digests = _Digests(tree)

    def one(file: Path) -> dict[str, Any]:
        module = '.'.join(file.relative_to(tree).with_suffix('').parts)
        place = kept / f'{module}.json'
        if place.exists():
            found: dict[str, Any] = json.loads(place.read_text())
            if found['digests'] == digests.of(found['digests']):
                return found
        print(f'measuring {module}', file=sys.stderr, flush=True)
        with trees.one() as copy:
            found = copy.ask({'collect': module})
        if not found:
            raise ToolError(f'{module} cannot be run')
        path = str(file.relative_to(tree))
        found['digests'] = digests.of([path, FIXTURES, *found['lines']])
        place.write_text(json.dumps(found))
        return found

    lines = Lines()
    tests: defaultdict[Place, set[str]] = defaultdict(set)
    modules = sorted(tree.glob('tests/unit/**/test_*.py'))
    with ThreadPoolExecutor(len(trees.all)) as pool:
        for file, found in zip(modules, pool.map(one, modules), strict=True):
            lines.seconds |= found['seconds']
            lines.failed |= set(found['failed'])
            _add(tests, found)
            tests[str(file.relative_to(tree)), _WHOLE] |= set(found['seconds'])
    lines.tests = dict(tests)
    lines.named = _named(tree)
    return lines


def _add(tests: dict[Place, set[str]], found: dict[str, Any]) -> None:
    """Add one module's; what a class runs first is run by all its tests."""
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for name in found['seconds']:
        classes[name.rpartition('.')[0]].add(name)
    run = [
        {name} if name in found['seconds'] else classes[name]
        for name in found['names']
    ]
    for path, lines in found['lines'].items():
        for line, numbers in lines.items():
            tests[path, int(line)] |= set().union(
                *(run[number] for number in numbers)
            )


def _named(tree: Path) -> dict[str, set[Place]]:
    """Return the lines of the package that name something, by the name, and
    the modules of tests that do.
    """
    found: defaultdict[str, set[Place]] = defaultdict(set)
    for folder in ('kvm_tuning', 'tests/unit'):
        for file in tree.glob(f'{folder}/**/*.py'):
            path = str(file.relative_to(tree))
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Name(id=name) | ast.Attribute(attr=name):
                        ours = folder == 'kvm_tuning'
                        line = node.lineno if ours else _WHOLE
                        found[name].add((path, line))
    return dict(found)


class _Digests:
    """Digests of files of a tree, and of its folder of fixtures as one."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._known: dict[str, str] = {}

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the digest of each; of one that is gone, that of nothing."""
        return {path: self._of(path) for path in paths}

    def _of(self, path: str) -> str:
        if path not in self._known:
            place = self._tree / path
            files = place.glob('**/*') if place.is_dir() else [place]
            digest = hashlib.sha256(sys.version.encode())
            for file in sorted(filter(Path.is_file, files)):
                if file.suffix != '.pyc':
                    digest.update(file.read_bytes())
            self._known[path] = digest.hexdigest()[:16]
        return self._known[path]
