"""A host that an earlier release prepared: status, apply, undo, ready."""

import os

import fixtures
import testtools

from kvm_tuning.cmd import host_session, main
from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host import configuration, privsep
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.guests import libvirt_hooks
from kvm_tuning.host.prep import journal, undone
from kvm_tuning.host.prep.kinds.kind import UNIT
from tests.fixtures import killed, prepared, whole_host
from tests.fixtures.command import Command
from tests.fixtures.release import RELEASES

#: States of a host in the recordings, and settings that the journal has in
#: each and that were under way.
STATES = {'applied': 0, 'apply-killed': 1, 'undo-killed': 1}


class PreparedTest(testtools.TestCase):
    """Each test runs on each state of each release."""

    def each(self):
        for name, release in RELEASES.items():
            for state, under_way in STATES.items():
                root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
                configuration = release.text('kvm-tuning.conf')
                kernel = whole_host.build(root, configuration)
                before = prepared.snapshot(root)
                release.lay(f'host-{state}.yaml', root)
                kernel.log.clear()
                self.command = self.useFixture(Command())
                with (
                    fixtures.MonkeyPatch(
                        f'{host_session.__name__}.ROOT', root
                    ),
                    fixtures.MonkeyPatch(
                        f'{host_session.__name__}.system',
                        lambda _root, kernel=kernel: kernel,
                    ),
                ):
                    yield f'{name} {state}', kernel, before, under_way

    def host(self, *words):
        return self.command.run('host', *words)

    def test_the_journal_is_read(self):
        for name, kernel, _before, under_way in self.each():
            entries = tuple(journal.load(kernel.tree()))
            self.assertGreater(len(entries), 10, name)
            opened = [entry for entry in entries if entry.open]
            self.assertEqual(under_way, len(opened), name)

    def test_status_and_ready_change_nothing(self):
        for name, kernel, _before, _under_way in self.each():
            found = prepared.snapshot(kernel.root)
            rows = self.host('status', '--root', kernel.root, '-f', 'json')
            self.assertEqual('', rows.stderr, name)
            known = {row['setting'] for row in rows.document}
            titles = {entry.title for entry in journal.load(kernel.tree())}
            self.assertEqual(set(), titles - known, name)
            ready = self.host('ready', '--root', kernel.root)
            self.assertIn(ready.status, (0, 1), f'{name}: {ready}')
            self.assertEqual(found, prepared.snapshot(kernel.root), name)

    def test_what_was_made_is_not_made_again(self):
        for name, kernel, _before, under_way in self.each():
            done = self.host('apply', '--detailed-exit-codes')
            if under_way:
                self.assertEqual(4, done.status, f'{name}: {done}')
            else:
                self.assertEqual(0, done.status, f'{name}: {done}')
                self.assertEqual([], kernel.log, name)
            again = self.host('apply', '--detailed-exit-codes')
            self.assertEqual(0, again.status, f'{name}: {again}')

    def test_undo_gives_what_was_there_before_the_release(self):
        for name, kernel, before, _under_way in self.each():
            self.undone(name, kernel, before)

    def test_undo_after_an_apply_of_ours(self):
        for name, kernel, before, _under_way in self.each():
            self.host('apply')
            self.undone(name, kernel, before)

    def undone(self, name, kernel, before):
        done = self.host('undo')
        self.assertEqual(0, done.status, f'{name}: {done}')
        self.assertFalse(os.path.exists(f'{kernel.root}/{journal.PATH}'), name)
        after = prepared.snapshot(kernel.root)
        # So that no device that appears now is made ready again
        self.assertIn(undone.PATH, after)
        del after[undone.PATH]
        for found in (before, after):
            prepared.forget_modules(found)
            found.pop(journal.LOCK, None)
        self.assertEqual({}, prepared.differences(after, before), name)


class ConfigurationTest(testtools.TestCase):
    def test_each_option_says_what_it_said(self):
        for name, release in RELEASES.items():
            root = self.useFixture(fixtures.TempDir()).path
            read = configuration.load(root, [release.path('kvm-tuning.conf')])
            for group, options in release.document(
                'configuration.yaml'
            ).items():
                for option, value in options.items():
                    self.assertEqual(
                        value, read[group][option], f'{name}: {option}'
                    )


class InstalledTest(testtools.TestCase):
    """Files that an earlier release has installed do their work."""

    def each(self):
        for name, release in RELEASES.items():
            root = self.useFixture(fixtures.TempDir()).path
            release.lay('installed.yaml', root)
            yield name, root, release.files('installed.yaml')

    def test_the_hook_script_and_units_are_ours(self):
        command = self.useFixture(Command())
        for verb in ('install', 'remove'):
            for name, root, files in self.each():
                done = command.run('host', 'hooks', verb, '--root', root)
                self.assertEqual(0, done.status, f'{name}: {done}')
                if verb == 'remove':
                    left = prepared.snapshot(root)
                    self.assertNotIn(libvirt_hooks.SCRIPT, left, name)
                    units = [
                        path
                        for path in files
                        if libvirt_hooks.UNIT in path and path in left
                    ]
                    self.assertEqual([], units, name)

    def test_the_units_start_commands_that_there_are(self):
        for name, _root, files in self.each():
            lines = [
                line.partition('=')[2].lstrip('+').split()
                for path, text in files.items()
                if path.startswith('etc/systemd')
                for line in text.splitlines()
                if line.startswith('ExecStart')
            ]
            self.assertEqual(4, len(lines), name)
            for program, *words in lines:
                if program.endswith('-host-prep'):
                    # What this program is: see cmd.host_apply.main.
                    words = ['host', 'apply', *words]
                self.parse(words)

    def parse(self, words):
        application = main.Application()
        application.options, rest = application.parser.parse_known_args(words)
        factory, _name, rest = application.command_manager.find_command(rest)
        parser = factory(application, None).get_parser('kvm-tuning')
        parser.parse_args(rest)

    def test_the_unit_that_the_journal_names(self):
        for name, _root, files in self.each():
            self.assertIn(f'etc/systemd/system/{UNIT}', files, name)

    def test_the_rootwrap_filter_starts_our_helper(self):
        for name, _root, files in self.each():
            text = files['etc/nova/rootwrap.d/kvm-tuning.filters']
            self.assertIn(f'--privsep_context, {privsep.ctx.pypath}, ', text)
            module, _dot, _ctx = privsep.ctx.pypath.rpartition('.')
            self.assertEqual('kvm_tuning.host.privsep', module, name)


class DowngradeTest(testtools.TestCase):
    """A journal that a later release wrote is refused, and left alone: with
    a format that is not known, undo could put back what was never there.
    """

    def test_a_later_journal(self):
        root = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(root, journal.PATH)
        os.makedirs(os.path.dirname(path))
        text = f'{{"version": {journal.VERSION + 1}, "entries": []}}\n'
        with open(path, 'w') as stream:
            stream.write(text)
        error = self.assertRaises(JournalFailed, journal.load, Tree(root))
        self.assertIn(f'version is {journal.VERSION + 1}', str(error))
        with open(path) as stream:
            self.assertEqual(text, stream.read())
