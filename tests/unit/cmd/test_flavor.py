import os

from tests.unit.cmd.base import CommandTest


class FlavorCheckTest(CommandTest):
    def check(self, flavor, *argv):
        return self.run_command('flavor', 'check', flavor, *argv, '-f', 'json')

    def test_a_good_one(self):
        done = self.check(self.flavor(**{'hw:cpu_policy': 'dedicated'}))
        self.assertEqual(0, done.status)
        self.assertTrue(done.document['valid'])

    def test_what_was_understood_is_shown(self):
        done = self.check(self.flavor(**{'hw:cpu_policy': 'dedicated'}))
        self.assertEqual(
            [('hw:cpu_policy', 'dedicated')],
            [(e['key'], e['value']) for e in done.document['understood']],
        )
        plain = self.run_command('flavor', 'check', self.flavor())
        self.assertIn('nothing is requested', plain.stdout)

    def test_a_name_that_is_nearly_one(self):
        done = self.check(self.flavor(**{'hw:cpu_threads_policy': 'prefer'}))
        self.assertEqual(1, done.status)
        (finding,) = done.document['findings']
        self.assertEqual('UnknownKnob', finding['code'])
        self.assertIn('hw:cpu_thread_policy', finding['text'])

    def test_what_only_nova_does(self):
        done = self.check(self.flavor(**{'hw:pmu': 'false'}))
        self.assertEqual(0, done.status)
        codes = [each['code'] for each in done.document['findings']]
        self.assertIn('nova-key-not-done', codes)

    def test_all_that_is_wrong_at_once(self):
        flavor = self.flavor(
            **{
                'kvm:nothing': '1',
                'kvm:disk_io': 'magic',
                'kvm:emulator_cpus': 'l3',
                'hw:emulator_threads_policy': 'share',
                'hw:cpu_policy': 'dedicated',
            }
        )
        image = self.write('image.json', '{"vcpus": 1, "name": "x"}')
        done = self.check(flavor, '--image', image)
        self.assertEqual(1, done.status)
        codes = sorted(
            each['code']
            for each in done.document['findings']
            if each['severity'] == 'error'
        )
        self.assertEqual(
            [
                'ConflictingKnobs',
                'InvalidDocument',
                'InvalidValue',
                'UnknownKnob',
            ],
            codes,
        )

    def test_what_a_host_cannot_hold(self):
        flavor = self.flavor(17, **{'hw:cpu_policy': 'dedicated'})
        self.assertEqual(0, self.check(flavor).status)
        done = self.check(flavor, '--root', self.host())
        self.assertEqual(1, done.status)
        self.assertFalse(done.document['valid'])

    def test_pcpus_that_the_command_names(self):
        flavor = self.flavor(4, **{'hw:cpu_policy': 'dedicated'})
        root = ('--root', self.host())
        done = self.check(flavor, *root, '--dedicated-cpus', '4-5')
        self.assertEqual(1, done.status)
        done = self.check(
            flavor, *root, '--dedicated-cpus', '4-7', '--shared-cpus', '0-1'
        )
        self.assertEqual(0, done.status, done)

    def test_wrong_pcpus(self):
        root = ('--root', self.host())
        for words in (
            (*root, '--dedicated-cpus', '4-999'),
            (*root, '--shared-cpus', 'x'),
            ('--dedicated-cpus', '4-7'),
        ):
            done = self.check(self.flavor(), *words)
            self.assertEqual((2, ''), (done.status, done.stdout), words)
            self.assertIn(words[-2], done.stderr)

    def test_what_is_asked_of_devices_on_a_host(self):
        """A flavor has no devices: those of a usual guest stand in."""
        flavor = self.flavor(
            **{
                'hw:cpu_policy': 'shared',
                'kvm:vif_backend': 'vhost',
                'kvm:vhost_cpus': 'housekeeping',
                'kvm:macvtap_mode': 'bridge',
                'kvm:disk_io': 'native',
                'kvm:disk_cache': 'none',
                'kvm:iothreads': '1',
            }
        )
        root = self.host()
        config = os.path.join(root, 'etc', 'kvm-tuning')
        os.makedirs(config)
        with open(os.path.join(config, 'kvm-tuning.conf'), 'w') as file:
            file.write('[placement]\ndedicated_cpus = 4-15\n')
        done = self.check(flavor, '--root', root)
        self.assertEqual(0, done.status, done.stdout)
        codes = {each['code'] for each in done.document['findings']}
        self.assertIn('host-unreachable', codes)
        self.assertNotIn('iothreads-idle', codes)

    def test_as_a_table(self):
        done = self.run_command('flavor', 'check', self.flavor())
        self.assertIn('no errors', done.stdout)

    def test_a_profile(self):
        done = self.check(self.flavor(**{'kvm:profile': 'latency'}))
        self.assertEqual(0, done.status)
        codes = [each['code'] for each in done.document['findings']]
        self.assertIn('profile', codes)

    def test_a_needed_trait_that_is_excluded(self):
        flavor = self.flavor(
            **{
                'hw:cpu_policy': 'dedicated',
                'kvm:cpu_locality': 'l3',
                'trait:CUSTOM_KVM_TUNING': 'forbidden',
                'trait:CUSTOM_KVM_TUNING_L3': 'forbidden',
            }
        )
        done = self.check(flavor)
        self.assertEqual(1, done.status)
        codes = [each['code'] for each in done.document['findings']]
        self.assertEqual(2, codes.count('ConflictingKnobs'))
        done = self.run_command('flavor', 'compile', flavor)
        self.assertEqual(1, done.status)
        self.assertIn('trait:CUSTOM_KVM_TUNING=forbidden', done.stderr)
