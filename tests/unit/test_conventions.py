"""The rules of HACKING.rst that a machine can check."""

import ast
import configparser
import functools
import inspect
from pathlib import Path
import re

import testtools

import kvm_tuning
from kvm_tuning import loader, sphinxext
from kvm_tuning.core import exceptions

PACKAGE = Path(kvm_tuning.__file__).parent
ROOT = PACKAGE.parent

#: What core/ and hooks/ may import: values, text and data structures.
PURE = {
    'abc', 'bisect', 'bz2', 'collections', 'copy', 'dataclasses', 'difflib',
    'enum', 'functools', 'hashlib', 'heapq', 'itertools', 'json', 'math',
    'operator', 're', 'shlex', 'statistics', 'string', 'typing', 'types',
    'textwrap', 'unicodedata',
    'lxml', 'yaml',
}  # fmt: skip
FORBIDDEN_CALLS = {'open', 'print', 'input', 'eval', 'exec', '__import__'}

#: Most lines of a module.
MOST_LINES = 400

#: Data classes that something is written to while they are in use.
COLLECTING = {
    'Command', 'Configuration', 'Defaults', 'Editor', 'Entry', 'Judge',
    'Layout', 'Menu', 'Mover', 'Outcome', 'Session', 'Wants', '_Mapping',
    '_Waiting',
}  # fmt: skip

BAD_NAMES = {'utils', 'util', 'common', 'manager', 'helper', 'helpers', 'misc'}


def modules(*parts):
    """Yield the path and the parsed source of each module below ``parts``."""
    for part in parts:
        where = PACKAGE / part
        paths = where.rglob('*.py') if where.is_dir() else [where]
        for path in sorted(paths):
            yield path, parsed(path)


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def imports(tree):
    """Yield the full name of everything that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f'{node.module}.{alias.name}'


class PurityTest(testtools.TestCase):
    def test_core_and_hooks_touch_no_system(self):
        for path, tree in modules('core', 'hooks'):
            for name in imports(tree):
                top = name.partition('.')[0]
                self.assertIn(top, PURE | {'kvm_tuning'}, path)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(
                    node.func, ast.Name
                ):
                    self.assertNotIn(node.func.id, FORBIDDEN_CALLS, path)

    def test_libvirt_is_imported_by_the_adapters_alone(self):
        for path, tree in modules('.'):
            if 'adapters' not in path.parts:
                tops = {name.partition('.')[0] for name in imports(tree)}
                self.assertNotIn('libvirt', tops, path)

    def test_entry_points_are_the_loaders_alone(self):
        for path, tree in modules('.'):
            if path.name == 'loader.py' or 'cmd' in path.parts:
                continue
            tops = {name.partition('.')[0] for name in imports(tree)}
            self.assertNotIn('stevedore', tops, path)


class NamesTest(testtools.TestCase):
    def test_modules_are_named_for_what_they_are(self):
        for path, _tree in modules('.'):
            self.assertNotIn(path.stem, BAD_NAMES)

    def test_modules_are_short(self):
        for path, _tree in modules('.'):
            lines = len(path.read_text().splitlines())
            self.assertLessEqual(lines, MOST_LINES, path)

    def test_modules_and_public_things_have_docstrings(self):
        for path, tree in modules('.'):
            if path.stat().st_size:
                self.assertIsNotNone(ast.get_docstring(tree), path)
            for node in tree.body:
                public = isinstance(
                    node, ast.FunctionDef | ast.ClassDef
                ) and not node.name.startswith('_')
                if public:
                    self.assertIsNotNone(
                        ast.get_docstring(node), f'{path}: {node.name}'
                    )


class TestsTest(testtools.TestCase):
    def test_core_and_hooks_are_tested_without_mocks(self):
        for part in ('core', 'hooks'):
            for path in (ROOT / 'tests/unit' / part).rglob('*.py'):
                for name in imports(ast.parse(path.read_text())):
                    self.assertNotIn('mock', name.lower(), path)


class HooksTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        config = configparser.ConfigParser(delimiters='=')
        config.read(ROOT / 'setup.cfg')
        section = config['options.entry_points'][loader.NAMESPACE]
        self.declared = dict(
            re.split(r'\s*=\s*', line)
            for line in section.strip().splitlines()
            if not line.startswith('#')
        )

    def test_a_hooks_module_is_its_name(self):
        for name, target in self.declared.items():
            module, _, _class = target.partition(':')
            self.assertEqual(f'kvm_tuning.hooks.{name}', module)

    def test_a_hooks_section_has_its_name(self):
        for hook in loader.load():
            lines = list(sphinxext.describe(hook))
            self.assertIn(f'.. _hook-{hook.name}:', lines)

    def test_a_hook_raises_what_a_caller_can_act_on(self):
        allowed = (exceptions.RequestError, exceptions.Refused)
        for path, tree in modules('hooks'):
            for node in ast.walk(tree):
                if not isinstance(node, ast.Raise) or node.exc is None:
                    continue
                made = node.exc
                if isinstance(made, ast.Call):
                    made = made.func
                error = getattr(exceptions, ast.unparse(made), None)
                # A variable: an error that was caught or is passed on.
                if error is None and ast.unparse(made).islower():
                    continue
                self.assertTrue(
                    isinstance(error, type) and issubclass(error, allowed),
                    f'{path}:{node.lineno}: {ast.unparse(node)}',
                )

    def test_every_hook_has_an_entry_point(self):
        files = {
            path.stem
            for path in (PACKAGE / 'hooks').glob('*.py')
            if path.stem not in ('__init__', 'base')
        }
        self.assertEqual(set(self.declared), files)

    def test_every_hook_and_knob_says_what_it_is_for(self):
        for hook in loader.load():
            self.assertTrue(inspect.getdoc(type(hook)), hook.name)
            for knob in hook.knobs:
                self.assertTrue(knob.help.endswith('.'), knob.name)
                self.assertTrue(knob.kind.description)
                if knob.default is not None:
                    knob.kind.parse(knob.default)

    def test_our_knobs_live_in_our_namespace(self):
        for name, knob in loader.knobs(loader.load()).items():
            self.assertEqual(name.startswith('kvm:'), not knob.nova, name)
            if not knob.nova:
                self.assertIsNone(knob.image, 'never from an image')


class ValuesTest(testtools.TestCase):
    """What is handed from one part to another."""

    def test_a_root_is_that_of_this_host_where_none_is_given(self):
        found = 0
        for path, tree in modules('.'):
            for node in ast.walk(tree):
                if not isinstance(node, ast.FunctionDef):
                    continue
                args = node.args
                last = args.args[len(args.args) - len(args.defaults) :]
                for argument, default in (
                    *zip(last, args.defaults, strict=True),
                    *zip(args.kwonlyargs, args.kw_defaults, strict=True),
                ):
                    if argument.arg == 'root' and default is not None:
                        found += 1
                        self.assertEqual(
                            "'/'", ast.unparse(default), f'{path} {node.name}'
                        )
        self.assertGreater(found, 40)

    def test_data_classes_are_frozen(self):
        found, loose = 0, set()
        for _path, tree in modules('.'):
            for node in ast.walk(tree):
                for each in getattr(node, 'decorator_list', ()):
                    text = ast.unparse(each)
                    if text.startswith('dataclass'):
                        found += 1
                        if 'frozen=True' not in text:
                            loose.add(node.name)
        self.assertEqual(COLLECTING, loose)
        self.assertGreater(found, 200)
