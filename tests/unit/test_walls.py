"""Imports between the folders run one way, and folders stay small."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
import re
import tokenize

import testtools

import kvm_tuning

PACKAGE = Path(kvm_tuning.__file__).parent
DRAWING = PACKAGE.parent / 'doc/source/contributor/drawings/wings.dot'

#: Who may import whom, by the part of the package.
PARTS = {
    'core': {'core'},
    'hooks': {'core', 'hooks'},
    'loader': {'core', 'hooks'},
    'conf': {'core', 'conf'},
    'host': {'core', 'host', 'conf'},
    'adapters': {'core', 'host', 'conf', 'loader', 'adapters', 'hooks'},
    'wsgi': {'core', 'conf', 'loader', 'adapters', 'wsgi'},
}

#: Floors inside of a part: a module imports from its own floor and from those
#: that stand before it, never from one behind it. The longest name that fits
#: a module is its floor; several names can be one floor.
FLOORS = {
    'what is read of a host and its guests': (
        'host.access',
        'host.inventory',
        'host.probes',
        ('host.guests', 'host.bench'),
    ),
    'what is set on a host': (
        'host.access',
        'host.inventory',
        'host.prep.goals',
        ('host.prep.journal', 'host.prep.journal_text'),
        'host.prep.holders',
        # A kind writes what a boot loader reads, and each reads the other's.
        ('host.prep.kinds', 'host.prep.boot'),
        'host.prep.writers',
        'host.prep.groups',
        'host.prep',
        'host.prep.apply',
        'host.prep.undo',
    ),
    'the fit, and who calls it': (
        'adapters.nova.signatures',
        ('adapters.nova.fit', 'adapters.nova.exchange'),
        'adapters.nova.compute',
        'adapters.nova',
    ),
    'the fit, and the scheduler': (
        'adapters.nova.signatures',
        'adapters.nova.fit',
        'adapters.nova.scheduling',
        'adapters.nova',
    ),
}

#: Neither imports the other.
APART = (
    ('host.prep', 'host.guests'),
    ('host.prep', 'host.probes'),
    ('adapters.nova.compute', 'adapters.nova.scheduling'),
    ('adapters.nova.fit', 'adapters.nova.exchange'),
    ('core.solver', 'core.audit'),
    ('core.solver', 'core.nova'),
    ('core.audit', 'core.nova'),
)

#: Rooms that import core's root. The root does not know them, but for the
#: modules that put their answers into a plan or a request.
ROOMS = (
    'core.nova', 'core.solver', 'core.audit', 'core.healing', 'core.bench',
    'core.assess', 'core.capacity', 'core.picture',
)  # fmt: skip
DOORS = {
    'core.documents': {'core.nova'},
    'core.given': {'core.solver'},
    'core.plan': {'core.nova', 'core.solver'},
    'core.recall': {'core.nova'},
    'core.request': {'core.nova'},
}

#: What core's root stands on: it imports nothing but these and itself.
FOUNDATIONS = ('core.xml',)

#: Most modules in one folder, by the start of the folder's name.
MOST_MODULES = {'host': 26, 'adapters.nova': 26, 'core': 36}


def _name(path: Path) -> str:
    """Return a module's name below the package; '' for the package."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


#: Each module's path, by its name below the package.
MODULES = {_name(path): path for path in sorted(PACKAGE.rglob('*.py'))}


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules of the package that a module imports, also those
    that it imports in a function or for types alone.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            top, _dot, rest = name.partition('.')
            if top != 'kvm_tuning':
                continue
            if rest in MODULES:
                yield rest
            else:
                # A name of the module, not a module itself.
                yield rest.rpartition('.')[0]


#: What each module imports.
GRAPH = {
    name: set(imported(ast.parse(path.read_text())))
    for name, path in MODULES.items()
}


def inside(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f'{folder}.')


def floor(name: str, floors: Sequence[str | tuple[str, ...]]) -> int | None:
    """Return the number of a module's floor."""
    fitting = [
        (len(each), number)
        for number, folders in enumerate(floors)
        for each in ([folders] if isinstance(folders, str) else folders)
        if inside(name, each)
    ]
    return max(fitting)[1] if fitting else None


class WallsTest(testtools.TestCase):
    def arrows(self):
        for name, targets in GRAPH.items():
            for target in sorted(targets):
                yield name, target

    def test_parts(self):
        bad = [
            f'{name} imports {target}'
            for name, target in self.arrows()
            if (allowed := PARTS.get(name.split('.')[0])) is not None
            and target
            and target.split('.')[0] not in allowed
        ]
        self.assertEqual([], bad)

    def test_floors(self):
        for what, floors in FLOORS.items():
            for folders in floors:
                for each in [folders] if isinstance(folders, str) else folders:
                    self.assertIn(each, MODULES, what)
            bad = [
                f'{name} imports {target}'
                for name, target in self.arrows()
                if (low := floor(target, floors)) is not None
                and (high := floor(name, floors)) is not None
                and low > high
            ]
            self.assertEqual([], bad, what)

    def test_what_is_apart(self):
        for one, other in APART:
            self.assertIn(one, MODULES)
            self.assertIn(other, MODULES)
            bad = [
                f'{name} imports {target}'
                for name, target in self.arrows()
                if (inside(name, one) and inside(target, other))
                or (inside(name, other) and inside(target, one))
            ]
            self.assertEqual([], bad)

    def test_core_s_root_does_not_know_its_rooms(self):
        found = {}
        for name, target in self.arrows():
            if not inside(name, 'core') or name.count('.') != 1:
                continue
            room = next((each for each in ROOMS if inside(target, each)), None)
            if room is not None and name not in ROOMS:
                found.setdefault(name, set()).add(room)
        # A door that nobody uses any more is to be closed.
        self.assertEqual(DOORS, found)

    def test_foundations_know_nothing_of_what_stands_on_them(self):
        bad = [
            f'{name} imports {target}'
            for name, target in self.arrows()
            for each in FOUNDATIONS
            if inside(name, each) and not inside(target, each)
        ]
        self.assertEqual([], bad)

    def test_the_drawing_shows_imports_that_there_are(self):
        """Each arrow of the page is one, and none of them runs back."""
        text = DRAWING.read_text()
        chains = re.findall(
            r'(?:"?[a-z.]+"?\s*->\s*)+"?[a-z.]+"?', text, re.MULTILINE
        )
        arrows = {
            pair
            for chain in chains
            for pair in pairwise(re.findall(r'[a-z][a-z.]*', chain))
        }
        self.assertGreater(len(arrows), 25)
        for one, other in sorted(arrows):
            there = [
                name
                for name, target in self.arrows()
                if inside(name, one) and inside(target, other)
            ]
            self.assertNotEqual([], there, f'{one} -> {other}')
        for one, other in sorted(arrows):
            if inside(one, other) or inside(other, one):
                # A folder and one that is in it: see the rooms and floors.
                continue
            back = [
                f'{name} imports {target}'
                for name, target in self.arrows()
                if inside(name, other) and inside(target, one)
            ]
            self.assertEqual([], back)

    def test_no_circle(self):
        graph = {name: targets - {name, ''} for name, targets in GRAPH.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            self.fail(f'a circle of imports: {" -> ".join(error.args[1])}')

    def test_folders_are_small(self):
        count = Counter(
            str(path.parent.relative_to(PACKAGE)).replace('/', '.')
            for path in MODULES.values()
            if path.name != '__init__.py'
        )
        for folder, number in count.items():
            fitting = [each for each in MOST_MODULES if inside(folder, each)]
            if fitting:
                most = MOST_MODULES[max(fitting, key=len)]
                self.assertLessEqual(number, most, folder)


class TypesTest(testtools.TestCase):
    def test_no_exemption_from_types(self):
        bad = []
        for path in MODULES.values():
            with path.open('rb') as stream:
                bad += [
                    f'{path.relative_to(PACKAGE)}:{token.start[0]}'
                    for token in tokenize.tokenize(stream.readline)
                    if token.type == tokenize.COMMENT
                    and 'type:' in token.string
                    and 'ignore' in token.string
                ]
        self.assertEqual([], bad)
