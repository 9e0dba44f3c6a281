"""host undo without a valid configuration: the journal says what to do."""

import argparse
import json
import os

from kvm_tuning.cmd import host_session
from kvm_tuning.host.prep import journal
from tests.fixtures import prepared, whole_host
from tests.unit.cmd.test_host_prep import HostPrepTest

PATH = 'etc/kvm-tuning/kvm-tuning.conf'
PROACTIVENESS = 'proc/sys/vm/compaction_proactiveness'
#: Configurations that are not valid, and what names the fault.
BROKEN = (
    ('[ksm]\nrun = sideways\n', 'sideways'),
    ('this is not a section\n', 'kvm-tuning.conf'),
    ('[ksm]\nruns = on\n', 'did you mean run?'),
    ('[nothing]\nat = all\n', '[nothing] is not a group'),
    # Understood only where it is used.
    ('[sriov]\nvfs = eth0\ndrivers_autoprobe = no\n', '[sriov] vfs = eth0'),
)


class UndoTest(HostPrepTest):
    def setUp(self):
        super().setUp()
        self.before = self.kept()
        self.assertEqual(0, self.host('apply').status)

    def kept(self):
        """Return the files that last across a reboot, and a few others."""
        return {
            path: text
            for path, text in prepared.snapshot(self.root).items()
            if path.startswith(('etc/', 'boot/', 'proc/'))
        }

    def test_it_restores_all(self):
        for text, words in BROKEN:
            self.kernel.put(PATH, text)
            done = self.host('undo', '-f', 'json')
            self.assertEqual((0, ''), (done.status, done.stderr), text)
            self.assertIn('THP enabled', done.document['restored'])
            note = done.document['notes'][0]
            self.assertIn('the configuration is not valid', note)
            self.assertIn(words, note)
            self.assertEqual('20', self.kernel.get(PROACTIVENESS))
            self.kernel.put(PATH, whole_host.CONFIGURATION)
            self.assertEqual(self.before, self.kept())
            self.assertEqual(0, self.host('apply').status)

    def test_a_device_does_not_apply_it_again(self):
        device = ('apply', '--keep-going', '--unless-undone', '-f', 'json')
        self.assertEqual(0, self.host('undo', '--dropped').status)
        self.kernel.put(PROACTIVENESS, 20)
        done = self.host(*device)
        self.assertNotEqual([], done.document['changed'], done)

        for words in (('ksm',), ()):
            self.assertEqual(0, self.host('undo', *words).status)
            now = prepared.snapshot(self.root)
            done = self.host(*device)
            self.assertEqual((0, []), (done.status, done.document['changed']))
            self.assertIn('host undo', done.document['notes'][0])
            self.assertEqual(now, prepared.snapshot(self.root))
        self.assertEqual(self.before, self.kept())

        # A refused one is not one that is asked for: the configuration is not
        # valid, and is not made.
        self.kernel.put(PATH, BROKEN[0][0])
        self.assertEqual(3, self.host('apply').status)
        self.kernel.put(PATH, whole_host.CONFIGURATION)
        self.assertEqual([], self.host(*device).document['changed'])

        self.assertEqual(0, self.host('apply').status)
        self.kernel.put(PROACTIVENESS, 20)
        self.assertNotEqual([], self.host(*device).document['changed'])

    def test_one_group_and_the_table(self):
        self.kernel.put(PATH, BROKEN[0][0])
        done = self.host('undo', 'ksm')
        self.assertEqual(0, done.status, done)
        self.assertIn('sideways', done.stdout)
        entries = json.loads(self.kernel.get(journal.PATH))['entries']
        self.assertNotIn('ksm', {each['concern'] for each in entries})
        self.assertNotEqual([], entries)

    def test_a_dry_run_writes_nothing(self):
        for text, words in BROKEN:
            self.kernel.put(PATH, text)
            now = prepared.snapshot(self.root)
            done = self.host('undo', '--dry-run', '-f', 'json')
            self.assertEqual(0, done.status, done)
            self.assertIn(words, done.stderr)
            self.assertEqual(
                {'restore'}, {each['action'] for each in done.document}
            )
            self.assertEqual(now, prepared.snapshot(self.root))

    def test_what_is_no_longer_wanted_is_not_guessed(self):
        for text, words in BROKEN:
            self.kernel.put(PATH, text)
            now = prepared.snapshot(self.root)
            for more in ((), ('--dry-run',)):
                done = self.host('undo', '--dropped', *more)
                self.assertEqual(3, done.status, done)
                self.assertIn('ConfigInvalid', done.stderr)
                self.assertIn(words, done.stderr)
            self.assertEqual(now, prepared.snapshot(self.root))

    def test_no_word_of_allow_counts(self):
        options = argparse.Namespace(config_file=[], config_dir=[])
        allow = '[sriov]\nallow = address,managed\n'
        for text, words in (
            (allow, {'sriov': {'address', 'managed'}}),
            (f'{allow}[ksm]\nrun = sideways\n', {}),
            (f'{allow}vfs = eth0\ndrivers_autoprobe = no\n', {}),
        ):
            self.kernel.put(PATH, text)
            session = host_session.open_for_undo(options, changing=True)
            self.assertEqual(words, session.terms().allow)
            self.assertEqual(bool(words), not session.fault)

    def test_somebody_elses_is_refused(self):
        self.kernel.put(PATH, BROKEN[0][0])
        os.chmod(f'{self.root}/{PATH}', 0o666)
        done = self.host('undo')
        self.assertEqual(3, done.status)
        self.assertIn('be owned by root', done.stderr)
        self.assertEqual('0', self.kernel.get(PROACTIVENESS))
