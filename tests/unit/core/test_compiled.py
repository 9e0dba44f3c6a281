"""What Nova itself has to know of our keys."""

import testtools

from kvm_tuning.core import compiled


class CompiledTest(testtools.TestCase):
    def compile(self, **specs):
        given = {k.replace('__', ':'): v for k, v in specs.items()}
        found = compiled.compile(given, 'nic')
        self.assertEqual(found, compiled.compile(found, 'nic'))
        return found

    def test_nothing_of_ours_nothing_added(self):
        specs = {'hw:cpu_policy': 'dedicated'}
        self.assertEqual(specs, compiled.compile(specs, 'nic'))

    def test_vfs_become_an_alias(self):
        found = self.compile(kvm__vfs='2')
        self.assertEqual('nic:2', found['pci_passthrough:alias'])
        self.assertEqual('required', found['trait:CUSTOM_KVM_TUNING'])

    def test_other_aliases_stay(self):
        found = self.compile(
            kvm__vfs='1', **{'pci_passthrough__alias': 'gpu:1, nic:7'}
        )
        self.assertEqual('gpu:1,nic:1', found['pci_passthrough:alias'])

    def test_no_vfs_no_alias(self):
        self.assertNotIn('pci_passthrough:alias', self.compile(kvm__vfs='0'))

    def test_what_a_host_must_have(self):
        for key, value, end in (
            ('kvm__cpu_locality', 'l3', '_L3'),
            ('kvm__vif_backend', 'vhost', '_VHOST'),
            ('kvm__disk_io', 'io_uring', '_IO_URING'),
            ('kvm__transparent_huge_pages', 'always', '_THP_MADVISE'),
        ):
            found = self.compile(**{key: value})
            trait = f'CUSTOM_KVM_TUNING{end}'
            self.assertEqual('required', found[f'trait:{trait}'])
            self.assertIn(trait, compiled.TRAITS)
        self.assertNotIn(
            'trait:CUSTOM_KVM_TUNING_L3', self.compile(kvm__cpu_locality='any')
        )
