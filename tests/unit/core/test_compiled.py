"""What Nova itself has to know of our keys."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core import compiled
from kvm_tuning.core.exceptions import ConflictingKnobs

KNOBS = loader.knobs(loader.load())


class CompiledTest(testtools.TestCase):
    def compile(self, **specs):
        given = {k.replace('__', ':'): v for k, v in specs.items()}
        found = compiled.compile(given, 'nic', KNOBS)
        self.assertEqual(found, compiled.compile(found, 'nic', KNOBS))
        return found

    def test_nothing_of_ours_nothing_added(self):
        specs = {'hw:cpu_policy': 'dedicated'}
        self.assertEqual(specs, compiled.compile(specs, 'nic', KNOBS))

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

    def test_what_was_derived_is_told_from_what_was_set(self):
        given = {
            'kvm:vfs': '2', 'kvm:cpu_locality': 'l3',
            'trait:CUSTOM_KVM_TUNING': 'required', 'trait:HW_GPU': 'required',
            'pci_passthrough:alias': 'gpu:1',
        }  # fmt: skip
        found = compiled.compile(given, 'nic', KNOBS)
        self.assertEqual('nic:2', found[compiled.DERIVED_ALIAS])
        self.assertEqual(
            'CUSTOM_KVM_TUNING_L3', found[compiled.DERIVED_TRAITS]
        )
        self.assertEqual(given, compiled.stated(found))
        # Whatever the record says, only traits of ours are ours.
        found[compiled.DERIVED_TRAITS] += ',HW_GPU'
        self.assertEqual(given, compiled.stated(found))

    def test_what_was_changed_since_is_somebody_elses(self):
        found = compiled.compile({'kvm:vfs': '2'}, 'nic', KNOBS)
        changed = found | {
            'pci_passthrough:alias': 'nic:3',
            'trait:CUSTOM_KVM_TUNING': 'forbidden',
        }
        stated = compiled.stated(changed)
        self.assertEqual('nic:3', stated['pci_passthrough:alias'])
        self.assertEqual('forbidden', stated['trait:CUSTOM_KVM_TUNING'])

    def test_an_excluded_trait_that_is_needed(self):
        for key, value, end in (
            ('kvm:cpu_locality', 'l3', ''),
            ('kvm:cpu_locality', 'l3', '_L3'),
            ('kvm:vif_backend', 'vhost', '_VHOST'),
            ('kvm:transparent_huge_pages', 'always', '_THP_MADVISE'),
        ):
            trait = f'trait:CUSTOM_KVM_TUNING{end}'
            given = {key: value, trait: 'forbidden'}
            error = self.assertRaises(
                ConflictingKnobs, compiled.compile, given, 'nic', KNOBS
            )
            self.assertIn(f'{trait}=forbidden', str(error))
            self.assertIn(f'{key}={value}', str(error))
        # A trait that nothing needs can be excluded.
        given = {
            'kvm:iothreads': '1', 'trait:CUSTOM_KVM_TUNING_L3': 'forbidden'
        }  # fmt: skip
        found = compiled.compile(given, 'nic', KNOBS)
        self.assertEqual(given, {key: found.get(key) for key in given})

    def test_only_what_was_compiled_gets_a_record(self):
        by_hand = {'kvm:cpu_locality': 'l3',
                   'trait:CUSTOM_KVM_TUNING_L3': 'required'}  # fmt: skip
        self.assertEqual(by_hand, compiled.recorded(by_hand, 'nic', KNOBS))
        old = by_hand | {'trait:CUSTOM_KVM_TUNING': 'required'}
        self.assertEqual(
            {'kvm:cpu_locality': 'l3'},
            compiled.stated(compiled.recorded(old, 'nic', KNOBS)),
        )
