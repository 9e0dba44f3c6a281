import subprocess
import sys

import fixtures
import testtools
from testtools.matchers import EndsWith

from kvm_tuning.cmd import command, main
from kvm_tuning.core import exceptions
from tests.unit.cmd.base import CommandTest

NAMES = (
    'flavor check',
    'guest audit',
    'guest list',
    'guest plan',
    'guest repin',
    'guest start',
    'guest tune',
    'guest undo',
    'host devices',
    'host topology',
    'knob list',
    'knob show',
)


class ApplicationTest(CommandTest):
    def test_stevedore_may_be_of_before_its_generic_managers(self):
        class Manager:
            def __init__(self, *_args, **_more):
                pass

            def list_entry_points(self):
                return []

        self.useFixture(
            fixtures.MonkeyPatch(
                'stevedore.named.NamedExtensionManager', Manager
            )
        )
        self.assertEqual({}, main.CommandManager('none').commands)

    def test_help_names_every_command(self):
        done = self.run_command('--help')
        self.assertEqual(0, done.status)
        for name in NAMES:
            self.assertIn(f'\n  {name} ', done.stdout)

    def test_every_command_has_a_help_with_an_example(self):
        for name in NAMES:
            done = self.run_command(*name.split(), '--help')
            self.assertEqual(0, done.status, name)
            self.assertIn('Examples:\n', done.stdout)
            self.assertIn(f'  kvm-tuning {name}', done.stdout)

    def test_no_command(self):
        self.assertIn('Commands:', self.run_command().stdout)
        done = self.run_command('-v')
        self.assertEqual((2, ''), (done.status, done.stdout))

    def test_an_unknown_command(self):
        done = self.run_command('guest', 'eat')
        self.assertEqual((2, ''), (done.status, done.stdout))
        self.assertIn("WrongUsage: 'guest eat'", done.stderr)
        self.assertEqual(1, done.stderr.count('\n'))

    def test_an_unknown_option(self):
        self.assertEqual(2, self.run_command('knob', 'list', '-x').status)

    def test_an_unknown_column(self):
        done = self.run_command('knob', 'list', '-c', 'colour')
        self.assertEqual(2, done.status)
        self.assertIn('WrongUsage', done.stderr)

    def test_a_bug_is_one_message(self):
        self.useFixture(
            fixtures.MonkeyPatch('kvm_tuning.loader.load', lambda: 1 / 0)
        )
        done = self.run_command('knob', 'list')
        self.assertEqual(3, done.status)
        self.assertIn('InternalError: ZeroDivisionError', done.stderr)
        self.assertNotIn('Traceback', done.stderr)
        debugged = self.run_command('--debug', 'knob', 'list')
        self.assertIn('Traceback', debugged.stderr)
        self.assertEqual(3, debugged.status)

    def test_debug_does_not_change_the_status(self):
        for words in (
            ('knob', 'show', 'none'),
            ('knob', 'list', '-c', 'colour'),
            ('--config-file', '/none', 'guest', 'list'),
        ):
            plain = self.run_command(*words)
            debugged = self.run_command('--debug', *words)
            self.assertEqual(plain.status, debugged.status, words)
            self.assertIn('Traceback', debugged.stderr)
            self.assertThat(debugged.stderr, EndsWith(plain.stderr))

    def test_status_of_each_error(self):
        expected = {
            exceptions.InvalidValue: 1,
            exceptions.Exhausted: 1,
            exceptions.WrongUsage: 2,
            exceptions.HookConflict: 3,
            exceptions.LibvirtFailed: 3,
            exceptions.ConfigInvalid: 3,
        }
        for error, status in expected.items():
            self.assertEqual(status, command.status_of(error('x')), error)


class ImportsTest(testtools.TestCase):
    def test_knob_list_imports_little(self):
        self.assertEqual(set(), self.imported('knob', 'list'))

    def test_host_topology_imports_little(self):
        self.assertEqual(set(), self.imported('host', 'topology'))

    def imported(self, *argv):
        """Return what a command imports of what is slow, or may be absent."""
        script = (
            'import sys\n'
            'from kvm_tuning.cmd import main\n'
            f'status = main.main({argv!r})\n'
            'assert status == 0, status\n'
            'print(*sys.modules, file=sys.stderr)\n'
        )
        done = subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        tops = {name.partition('.')[0] for name in done.stderr.split()}
        return tops & {'libvirt', 'oslo_config', 'oslo_concurrency', 'cmd2'}
