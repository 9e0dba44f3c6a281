"""The hook script and its units are installed and removed by one command."""

import os

import fixtures

from kvm_tuning.host.guests import libvirt_hooks
from tests.fixtures.prepared import snapshot
from tests.unit.cmd.base import CommandTest


class HooksTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def hooks(self, verb, *argv):
        return self.run_command(
            'host', 'hooks', verb, '--root', self.root, '-f', 'json', *argv
        )

    def test_installed_and_removed(self):
        done = self.hooks('install', '--detailed-exit-codes')
        self.assertEqual(4, done.status)
        written = {each['written'] for each in done.document}
        self.assertEqual({f'/{path}' for path in snapshot(self.root)}, written)
        self.assertIn('restart libvirtd', done.stderr)
        done = self.hooks('install', '--detailed-exit-codes')
        self.assertEqual((0, []), (done.status, done.document))
        done = self.hooks('remove', '--detailed-exit-codes')
        self.assertEqual(4, done.status)
        self.assertEqual(written, {e['removed'] for e in done.document})
        self.assertEqual({}, snapshot(self.root))

    def test_somebody_elses_file_is_refused(self):
        path = f'{self.root}/{libvirt_hooks.SCRIPT}'
        os.makedirs(os.path.dirname(path))
        with open(path, 'w') as file:
            file.write('#!/bin/sh\n')
        for verb in ('install', 'remove'):
            done = self.hooks(verb)
            self.assertEqual(3, done.status)
            self.assertIn('SettingRejected: ', done.stderr)
            self.assertIn('was not installed by', done.stderr)
        self.assertEqual(1, len(snapshot(self.root)))

    def test_a_program_that_makes_no_sense(self):
        for program in ('kvm-tuning', '/bin/a\nb'):
            done = self.hooks('install', '--program', program)
            self.assertEqual(2, done.status)
            self.assertEqual({}, snapshot(self.root))


class ReconcileTest(CommandTest):
    def test_names_and_a_queue_at_once(self):
        done = self.run_command('guest', 'reconcile', 'g', '--queue', '/run')
        self.assertEqual(2, done.status)
        self.assertIn('not both', done.stderr)
