"""HACKING.rst, CONTRIBUTING.rst and the page on testing say what is true."""

import configparser
from pathlib import Path
import re

import testtools

ROOT = Path(__file__).parents[2]
UNIT = ROOT / 'tests/unit'

#: What checks a rule and is no test.
PROGRAMS = {'ruff format', 'ruff check', 'flake8', 'mypy', 'tox -e pep8'}


def text(name):
    return (ROOT / name).read_text()


def tox():
    """Return the names of tox's environments."""
    config = configparser.ConfigParser()
    config.read(ROOT / 'tox.ini')
    return {
        name.partition(':')[2]
        for name in config.sections()
        if name.startswith('testenv:')
    } | {'py3'}


def tiers():
    return set(re.findall(r'^tier_(\w+)\(\)', text('tools/test.sh'), re.M))


class HackingTest(testtools.TestCase):
    def sections(self):
        """Yield the title and the text of each section."""
        parts = re.split(r'^(.+)\n=+\n', text('HACKING.rst'), flags=re.M)
        yield from zip(parts[1::2], parts[2::2], strict=True)

    def test_each_rule_is_checked_by_what_there_is(self):
        checked = 0
        for title, body in self.sections():
            if title in ('HACKING', 'For readers'):
                continue
            for rule in re.split(r'\n\n|\n(?=\* )', body.strip()):
                found = re.findall(r'\[([^\]]+)\]', rule)
                self.assertNotEqual([], found, f'{title}: {rule}')
                for name in re.split(r',\s+', ', '.join(found)):
                    checked += 1
                    self.assertTrue(
                        name in PROGRAMS
                        or (UNIT / name).is_dir()
                        or (UNIT / f'{name}.py').exists(),
                        f'{title}: there is no {name}',
                    )
        self.assertGreater(checked, 20)


class ContributingTest(testtools.TestCase):
    def test_environments_of_tox(self):
        found = re.findall(r'tox -e ([\w]+)', text('CONTRIBUTING.rst'))
        self.assertGreater(len(found), 5)
        self.assertEqual(set(), set(found) - tox())

    def test_tiers(self):
        found = re.findall(r'tools/test\.sh (\w+)', text('CONTRIBUTING.rst'))
        self.assertEqual(set(), set(found) - tiers())

    def test_files_that_are_named(self):
        for name in ('HACKING.rst', 'CONTRIBUTING.rst'):
            for path in re.findall(
                r'``((?:doc|tests|tools|\.ci)/[\w./-]+)``', text(name)
            ):
                self.assertTrue((ROOT / path).exists(), f'{name}: {path}')


class ArchitectureTest(testtools.TestCase):
    def test_modules_that_are_named(self):
        page = text('doc/source/contributor/architecture.rst')
        found = re.findall(
            r'``((?:core|host|adapters|hooks|conf|cmd)/[\w/.]+)``', page
        )
        self.assertGreater(len(found), 15)
        for path in found:
            self.assertTrue((ROOT / 'kvm_tuning' / path).exists(), path)


class TestingTest(testtools.TestCase):
    page = 'doc/source/contributor/testing.rst'

    def test_each_tier_is_described(self):
        rows = re.split(r'\n=+ =+\n', text(self.page))[2]
        found = {
            row.split()[0]
            for row in rows.splitlines()
            if row and not row[0].isspace()
        }
        self.assertEqual(tiers(), found)

    def test_each_variable_of_a_test_is_described(self):
        page, found = text(self.page), set()
        for path in (ROOT / 'tests').rglob('*.py'):
            source = path.read_text()
            # One with a default of its own makes no test skip.
            for name in re.findall(
                r"environ(?:\.get\(|\[)\s*'(KVM_TUNING_\w+)'\s*[)\]]", source
            ) + re.findall(r"= '(KVM_TUNING_\w+)'$", source, re.M):
                found.add(name)
                self.assertIn(name, page, path)
        self.assertIn('KVM_TUNING_HOST_DUMPS', found)
