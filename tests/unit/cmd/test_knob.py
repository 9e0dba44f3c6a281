from kvm_tuning import loader
from tests.unit.cmd.base import CommandTest


class KnobTest(CommandTest):
    def test_list_has_every_knob(self):
        done = self.run_command('knob', 'list', '-f', 'json')
        self.assertEqual(
            set(loader.knobs(loader.load())),
            {row['knob'].removesuffix('.N') for row in done.document},
        )

    def test_show(self):
        done = self.run_command('knob', 'show', 'kvm:disk_io', '-f', 'json')
        self.assertEqual('disk_io', done.document['hook'])
        self.assertIn('native', done.document['schema']['enum'])

    def test_show_a_numbered_one(self):
        done = self.run_command('knob', 'show', 'hw:numa_cpus.0')
        self.assertEqual(0, done.status)

    def test_show_an_unknown_one(self):
        done = self.run_command('knob', 'show', 'kvm:disk_oi')
        self.assertEqual(2, done.status)
        self.assertIn('did you mean kvm:disk_io?', done.stderr)
