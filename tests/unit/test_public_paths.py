"""The paths that the documentation promises lead where they should."""

import ast
from importlib import import_module
from pathlib import Path
import pkgutil
import re

import testtools

import kvm_tuning
from tools.recordings import entry_points

PACKAGE = Path(kvm_tuning.__file__).parent
ROOT = PACKAGE.parent
PAGE = ROOT / 'doc/source/reference/public_paths.rst'

#: Pages that show paths of Python.
PAGES = (
    *sorted((ROOT / 'doc/source').rglob('*.rst')),
    *sorted(ROOT.glob('*.rst')),
)
_PATH = re.compile(r'\bkvm_tuning(?:\.[A-Za-z_]\w*)+')
#: What looks like a path and is a namespace, a file's name, a key or a
#: module that a page has its reader write.
NO_PATHS = {
    'kvm_tuning.cfg', 'kvm_tuning.cli', 'kvm_tuning.config.ksm.run',
    'kvm_tuning.hooks.panic_device', 'kvm_tuning.py',
    'kvm_tuning.kvm_tuning.compute', 'kvm_tuning.rebalance',
    'kvm_tuning.vendordata',
}  # fmt: skip

#: Nova looks it up below nova.virt, see kvm_tuning.bootstrap.
DRIVER = 'kvm_tuning.KvmTuningDriver'
#: Modules that need what is not installed here: Nova, os-vif, a service's
#: configuration. Their names are looked up without importing them.
UNIMPORTED = (
    'kvm_tuning.adapters.nova',
    'kvm_tuning.bootstrap',
    DRIVER,
    'kvm_tuning.wsgi.vendordata',
)


def promised():
    """Return the paths that the page lists."""
    return [
        path
        for line in PAGE.read_text().splitlines()
        if line.startswith('``kvm_tuning')
        for path in _PATH.findall(line)
    ]


def names_of(path: Path) -> set[str]:
    """Return what a module defines or imports, without importing it."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(
            node.target, ast.Name
        ):
            found.add(node.target.id)
    return found


def leads_somewhere(path: str) -> bool:
    """Return whether there is such a module, or such a name in a module."""
    if path == DRIVER:
        path = 'kvm_tuning.adapters.nova.driver.KvmTuningDriver'
    parts = path.split('.')[1:]
    where = PACKAGE
    for number, part in enumerate(parts):
        if (where / part).is_dir():
            where = where / part
            continue
        rest = parts[number:]
        module = where / f'{part}.py'
        if not module.exists():
            # A name of the package itself.
            module, rest = where / '__init__.py', ['', *rest]
        if not module.exists():
            return False
        return len(rest) < 2 or rest[1] in names_of(module)
    return True


class PublicPathsTest(testtools.TestCase):
    def test_what_may_be_imported_here(self):
        for path in promised():
            if not path.startswith(UNIMPORTED):
                pkgutil.resolve_name(path)

    def test_all_are_there(self):
        self.assertGreater(len(promised()), 15)
        for path in promised():
            self.assertTrue(leads_somewhere(path), path)

    def test_a_path_that_is_wrong_is_seen(self):
        for path in (
            'kvm_tuning.host.ready.chekc',
            'kvm_tuning.host.redy',
            'kvm_tuning.adapters.nova.scheduler_filter.Filter',
        ):
            self.assertFalse(leads_somewhere(path), path)

    def test_hooks_of_others_import_promised_modules_alone(self):
        example = ROOT / 'examples/panic-device/kvm_tuning_panic_device.py'
        tree = ast.parse(example.read_text())
        modules = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and node.module.startswith('kvm_tuning.')
        }
        self.assertEqual(set(), modules - set(promised()))

    def test_entry_points(self):
        for names in entry_points.read(ROOT).values():
            for name, target in names.items():
                module, _colon, attribute = target.partition(':')
                if module.startswith(UNIMPORTED):
                    path = target.replace(':', '.')
                    self.assertTrue(leads_somewhere(path), target)
                    continue
                found = import_module(module)
                if attribute:
                    self.assertTrue(hasattr(found, attribute), name)

    def test_pages_show_paths_that_there_are(self):
        bad = [
            f'{page.relative_to(ROOT)}: {path}'
            for page in PAGES
            for path in _PATH.findall(page.read_text())
            if path not in NO_PATHS and not leads_somewhere(path)
        ]
        self.assertEqual([], bad)
