"""``host units``: what it lists, and its exit statuses."""

import fixtures

from kvm_tuning.host.prep import boot_units
from tests.unit.cmd.base import CommandTest


class UnitsTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def units(self, verb, *argv):
        return self.run_command(
            'host', 'units', verb, '--root', self.root, '-f', 'json', *argv
        )

    def test_install_and_remove(self):
        done = self.units('install', '--detailed-exit-codes')
        self.assertEqual(4, done.status, done.stderr)
        written = [each['written'] for each in done.document]
        self.assertEqual(len(boot_units.SHIPPED) + 1, len(written))
        done = self.units('install', '--detailed-exit-codes')
        self.assertEqual((0, []), (done.status, done.document))
        done = self.units('remove', '--detailed-exit-codes')
        self.assertEqual(4, done.status)
        self.assertEqual(
            sorted(written), sorted(each['removed'] for each in done.document)
        )
        done = self.units('remove', '--detailed-exit-codes')
        self.assertEqual((0, []), (done.status, done.document))

    def test_a_program_that_is_not_a_path(self):
        done = self.units('install', '--program', 'kvm-tuning')
        self.assertEqual(2, done.status)
        self.assertIn('want an absolute path', done.stderr)
