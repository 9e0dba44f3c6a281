"""What Knob says of a knob counts; how its name begins does not."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core import compiled, request
from kvm_tuning.core.consequences import resize
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.knobs import Choice, Count, Flag, Knob
from kvm_tuning.core.placement import Placement

KNOBS = {
    knob.name: knob
    for knob in (
        *loader.knobs(loader.load()).values(),
        # Names that begin as those of other kinds do.
        Knob('kvm:vfoo', Flag(), 'help'),
        Knob('kvm:vf_colour', Choice(('red',)), 'help'),
        Knob('kvm:vif_tx_ringer', Flag(), 'help'),
        Knob('kvm:disk_colour', Flag(), 'help'),
        Knob('kvm:nic_rows', Count(1, 4, ('auto',)), 'help', queues_of='disk'),
        Knob('kvm:gpu', Flag(), 'help', of_device=True, needs_functions=True),
        Knob('kvm:fast', Choice(('yes',)), 'help', traits={'yes': '_L3'}),
    )
}


def asking(**specs):
    """Return the request of a flavor with these keys, ``__`` for ``:``."""
    texts = {key.replace('__', ':'): text for key, text in specs.items()}
    return request.read(Flavor('f', '1', 2, 512, 0, texts), None, KNOBS)


class AtClaimTest(testtools.TestCase):
    def test_what_depends_on_devices_is_left_to_the_guest(self):
        asked = asking(kvm__vfs='1', kvm__macvtap_mode='vepa', kvm__gpu='1',
                       kvm__vif_tx_ring='512', kvm__vhost_cpus='l3',
                       kvm__vf_trust='true', kvm__iothreads='1')  # fmt: skip
        self.assertEqual({'kvm:iothreads'}, set(asked.at_claim().asked))

    def test_a_name_alone_leaves_nothing_out(self):
        keys = ('kvm__vfoo', 'kvm__vf_colour', 'kvm__vif_tx_ringer')
        asked = asking(**dict(zip(keys, ('true', 'red', 'true'), strict=True)))
        self.assertEqual(
            {key.replace('__', ':') for key in keys},
            set(asked.at_claim().asked),
        )


class NeedsTest(testtools.TestCase):
    def test_the_disks(self):
        def needed(**specs):
            return any(k.needs_storage for k in asking(**specs).knobs)

        self.assertTrue(needed(kvm__disk_io='auto'))
        self.assertTrue(needed(kvm__disk_cache='none'))
        self.assertFalse(needed(kvm__disk_colour='true'))

    def test_the_functions(self):
        def needed(**specs):
            return any(k.needs_functions for k in asking(**specs).knobs)

        self.assertTrue(needed(kvm__vf_trust='true', kvm__vfs='1'))
        self.assertTrue(needed(kvm__gpu='true'))
        self.assertFalse(needed(kvm__vfoo='true', kvm__vf_colour='red'))


class QueuesTest(testtools.TestCase):
    def changes(self, **specs):
        return [each.text for each in resize(asking(**specs), Placement(), ())]

    def test_what_follows_the_vcpus(self):
        (text,) = self.changes(kvm__nic_rows='auto')
        self.assertIn('queues', text)
        self.assertEqual([], self.changes(kvm__nic_rows='2'))
        self.assertEqual([], self.changes(kvm__iothreads='2'))


class TraitsTest(testtools.TestCase):
    def test_a_new_knob_names_its_trait(self):
        found = compiled.compile({'kvm:fast': 'yes'}, 'nic', KNOBS)
        self.assertEqual('required', found['trait:CUSTOM_KVM_TUNING_L3'])

    def test_hosts_have_every_trait_that_a_knob_names(self):
        for knob in KNOBS.values():
            for end in knob.traits.values():
                self.assertIn(f'{compiled.TRAIT}{end}', compiled.TRAITS)

    def test_only_values_that_the_knob_takes_have_a_trait(self):
        for knob in KNOBS.values():
            for value in knob.traits:
                self.assertEqual(value, knob.kind.parse(value))


class PfTest(testtools.TestCase):
    def test_a_name_alone_is_no_attribute_of_a_vf(self):
        self.assertIsNone(KNOBS['kvm:vf_colour'].pf_attribute)

    def test_what_the_pf_keeps_is_of_a_device_and_needs_the_functions(self):
        for knob in KNOBS.values():
            if knob.pf_attribute is not None:
                self.assertTrue(knob.of_device, knob.name)
                self.assertTrue(knob.needs_functions, knob.name)

    def test_one_knob_an_attribute(self):
        named = [k.pf_attribute for k in KNOBS.values() if k.pf_attribute]
        self.assertEqual(sorted(set(named)), sorted(named))
