import logging
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


class VerboseTest(CommandTest):
    def said(self, *options):
        return self.run_command(
            *options, 'host', 'topology', '--root', self.host()
        ).stderr

    def test_v_shows_our_steps_and_nobody_elses(self):
        self.assertEqual('', self.said())
        self.assertIn('read the CPUs', self.said('-v'))
        self.assertNotIn('EntryPoint', self.said('-v'))

    def test_vv_shows_everybodys(self):
        said = self.said('-vv')
        self.assertIn('read the CPUs', said)
        self.assertIn('EntryPoint', said)

    def test_a_warning_is_always_shown(self):
        def read(*_arguments, **_more):
            logging.getLogger('library').warning('w\x1b[2J')
            logging.getLogger('library').info('nothing')
            raise exceptions.InventoryUnreadable('no')

        self.useFixture(
            fixtures.MonkeyPatch('kvm_tuning.host.inventory.reader.read', read)
        )
        said = self.said('-q') + self.said()
        self.assertIn('w\\x1b[2J', said)
        self.assertNotIn('nothing', said)


class AdviceTest(CommandTest):
    """Who is not root reads the path that it takes root for."""

    def advice(self, error, user=1000):
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: user))
        return command.advice_on(error)

    def caused(self, message, cause):
        error = exceptions.JournalFailed(message)
        error.__cause__ = cause
        return error

    def test_names_a_path_that_the_message_lacks(self):
        cause = PermissionError(13, 'Permission denied', '/var/lib/x')
        self.assertEqual(
            ' (/var/lib/x); this takes root',
            self.advice(self.caused('cannot be written', cause)),
        )
        self.assertEqual(
            '; this takes root',
            self.advice(self.caused('/var/lib/x: Permission denied', cause)),
        )

    def test_of_what_libvirt_says(self):
        for said in (
            "Failed to connect socket to '/run/x': Permission denied",
            'authentication unavailable: no polkit agent',
        ):
            error = exceptions.LibvirtFailed(said)
            self.assertEqual('; this takes root', self.advice(error))

    def test_nothing_for_root_or_twice_or_other_errors(self):
        denied = exceptions.LibvirtFailed('Permission denied')
        self.assertEqual('', self.advice(denied, user=0))
        self.assertEqual(
            '',
            self.advice(exceptions.LibvirtFailed('Permission denied to root')),
        )
        self.assertEqual('', self.advice(exceptions.LibvirtFailed('no such')))

    def test_is_part_of_the_message(self):
        def denied(*_arguments, **_more):
            raise PermissionError(13, 'Permission denied', '/etc/x')

        self.useFixture(fixtures.MonkeyPatch('kvm_tuning.loader.load', denied))
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: 1000))
        done = self.run_command('knob', 'list')
        self.assertIn("'/etc/x'; this takes root", done.stderr)


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
