"""What a knob costs, and that the page about it is all that it takes."""

import configparser
import os
from pathlib import Path
import shutil
import subprocess
import sys

import fixtures
import testtools

from tests.fixtures import knob_costs
from tests.fixtures.page_blocks import blocks

TOP = Path(__file__).parents[2]
PAGE = TOP / 'doc/source/contributor/hooks.rst'
PARTS = (
    'kvm_tuning', 'setup.cfg', 'tests/__init__.py', 'tests/cloud',
    'tests/fixtures', 'tests/scenarios', 'doc/source/user',
    'releasenotes/notes',
)  # fmt: skip
SETUP = Path('setup.cfg')
GROUP = 'kvm_tuning.hooks =\n'


class ThisTreeTest(testtools.TestCase):
    def test_nothing_is_left_out(self):
        lacking = list(knob_costs.left_out(TOP))
        if lacking:
            self.fail('\n'.join(lacking))


class PageTest(testtools.TestCase):
    """The steps of the page in a copy of the tree, all of them or all but
    one.
    """

    def setUp(self):
        super().setUp()
        self.top = Path(self.useFixture(fixtures.TempDir()).path)
        for part in PARTS:
            source, target = TOP / part, self.top / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(
                    source, target,
                    ignore=shutil.ignore_patterns('__pycache__', '_outputs'),
                )  # fmt: skip
            else:
                shutil.copy(source, target)
        self.steps = dict(blocks(PAGE))

    def follow(self, leave_out=None):
        """Do what the page says; return what is then said to be left out."""
        for path, text in self.steps.items():
            if path != leave_out:
                self.write(self.top / path, text)
        self.install()
        done = subprocess.run(
            [sys.executable, '-m', 'tests.fixtures.knob_costs'],
            cwd=self.top,
            env={**os.environ, 'PYTHONPATH': str(self.top)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual('', done.stderr)
        self.assertEqual(bool(done.stdout.strip()), bool(done.returncode))
        return done.stdout.strip().splitlines()

    def write(self, path, text):
        """Make a file, or add to the one that there is."""
        if path == self.top / SETUP:
            before = path.read_text()
            self.assertEqual(1, before.count(GROUP))
            path.write_text(before.replace(GROUP, GROUP + text))
        elif path.exists():
            path.write_text(f'{path.read_text()}\n{text}')
        else:
            path.write_text(text)

    def install(self):
        """Make what pip makes of the copy's setup.cfg."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str
        parser.read(self.top / SETUP)
        info = self.top / 'kvm_tuning-0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Name: kvm-tuning\nVersion: 0\n')
        (info / 'entry_points.txt').write_text(
            '\n'.join(
                f'[{group}]{lines}'
                for group, lines in parser['options.entry_points'].items()
            )
        )

    def test_the_page_has_five_steps(self):
        self.assertEqual(5, len(self.steps))

    def test_all_steps(self):
        self.assertEqual([], self.follow())

    def left_out(self, path):
        """Return the sentences when the step about ``path`` is left out."""
        (step,) = (each for each in self.steps if str(each).startswith(path))
        return self.follow(leave_out=step)

    def test_the_hook_is_left_out(self):
        (line,) = self.left_out('kvm_tuning/hooks')
        self.assertIn('there is no kvm_tuning/hooks/panic_device.py', line)

    def test_the_line_of_setup_cfg_is_left_out(self):
        (line, *_) = self.left_out('setup.cfg')
        self.assertIn('panic_device.py has no line in setup.cfg', line)
        self.assertIn('kvm_tuning.hooks.panic_device:PanicDevice', line)

    def test_the_scenarios_are_left_out(self):
        lines = self.left_out('tests/scenarios')
        self.assertIn('kvm:panic_device: no scenario keeps it', lines)
        self.assertIn('kvm:panic_device: no scenario refuses it', lines)

    def test_the_paragraph_is_left_out(self):
        (line,) = self.left_out('doc/source/user')
        self.assertIn('kvm:panic_device: no page of doc/source/user', line)

    def test_the_release_note_is_left_out(self):
        (line,) = self.left_out('releasenotes')
        self.assertIn('kvm:panic_device: no release note', line)
