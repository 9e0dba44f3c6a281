"""Which test runs which line, measured once and kept."""

import ast
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from tools.lib.checkout import ToolError
from tools.mutation.sites import Site

CASES = Path(__file__).with_name('cases.py')

Place = tuple[str, int]
#: The line that stands for a module of tests, whose lines are not measured.
_WHOLE = 0


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
            found = self._at(
                place
                for name in site.names
                for place in self.named.get(name, ())
            ) or self._at(place for place in self.tests if place[0] == path)
        else:
            found = self._at((path, line) for line in site.lines)
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _at(self, places: Iterable[Place]) -> set[str]:
        found: set[str] = set()
        for place in places:
            found |= self.tests.get(place, set())
        return found - self.failed


def measure(tree: Path, kept: Path, processes: int) -> Lines:
    """Return what each unit test of a tree runs.

    What is in ``kept`` is used where neither the package, nor the fixtures,
    nor the module of the tests has changed since.

    :raises ToolError: a module of tests cannot be run.
    """
    base = _digest(
        [*tree.glob('kvm_tuning/**/*.py'), *tree.glob('tests/fixtures/**/*')]
    )
    modules = sorted(tree.glob('tests/unit/**/test_*.py'))

    def one(file: Path) -> dict[str, Any]:
        place = kept / f'{base}-{_digest([file])}.json'
        if not place.exists():
            module = '.'.join(file.relative_to(tree).with_suffix('').parts)
            print(f'measuring {module}', file=sys.stderr, flush=True)
            place.write_text(_collect(tree, module))
        found: dict[str, Any] = json.loads(place.read_text())
        return found

    lines = Lines()
    tests: defaultdict[Place, set[str]] = defaultdict(set)
    with ThreadPoolExecutor(processes) as pool:
        for file, found in zip(modules, pool.map(one, modules), strict=True):
            lines.seconds |= found['seconds']
            lines.failed |= set(found['failed'])
            _add(tests, found)
            tests[str(file.relative_to(tree)), _WHOLE] |= set(found['seconds'])
    lines.tests = dict(tests)
    lines.named = _named(tree)
    return lines


def _collect(tree: Path, module: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(CASES), 'collect', module],
        cwd=tree,
        capture_output=True,
        text=True,
    )
    if ran.returncode or not ran.stdout:
        raise ToolError(f'{module} cannot be run:\n{ran.stderr[-2000:]}')
    return ran.stdout


def _add(tests: dict[Place, set[str]], found: dict[str, Any]) -> None:
    """Add one module's; what a class runs first is run by all its tests."""
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for name in found['seconds']:
        classes[name.rpartition('.')[0]].add(name)
    for path, lines in found['lines'].items():
        for line, names in lines.items():
            for name in names:
                run = {name} if name in found['seconds'] else classes[name]
                tests[path, int(line)] |= run


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


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(filter(Path.is_file, files)):
        if file.suffix != '.pyc':
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
