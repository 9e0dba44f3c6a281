"""What a knob costs, and that the page about it is all that it takes."""

import configparser

import testtools

from tests.fixtures import knob_costs
from tests.fixtures.page_copy import TOP, PageCopy

PAGE = 'doc/source/contributor/hooks.rst'
PARTS = (
    'kvm_tuning', 'setup.cfg', 'tests/__init__.py', 'tests/cloud',
    'tests/fixtures', 'tests/scenarios', 'doc/source/user',
    'releasenotes/notes',
)  # fmt: skip
SETUP = 'setup.cfg'
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
        self.copy = self.useFixture(PageCopy(PAGE, PARTS, {SETUP: self.join}))

    def join(self, text, line):
        self.assertEqual(1, text.count(GROUP))
        return text.replace(GROUP, GROUP + line)

    def left_out(self, path=None):
        """Return the sentences when the step about ``path`` is left out."""
        self.copy.follow(path)
        self.install()
        done = self.copy.python('-m', 'tests.fixtures.knob_costs')
        self.assertEqual('', done.stderr)
        self.assertEqual(bool(done.stdout.strip()), bool(done.returncode))
        return done.stdout.strip().splitlines()

    def install(self):
        """Make what pip makes of the copy's setup.cfg."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str
        parser.read(self.copy.top / SETUP)
        info = self.copy.top / 'kvm_tuning-0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Name: kvm-tuning\nVersion: 0\n')
        (info / 'entry_points.txt').write_text(
            '\n'.join(
                f'[{group}]{lines}'
                for group, lines in parser['options.entry_points'].items()
            )
        )

    def test_the_page_has_five_steps(self):
        self.assertEqual(5, len(self.copy.steps))

    def test_all_steps(self):
        self.assertEqual([], self.left_out())

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
