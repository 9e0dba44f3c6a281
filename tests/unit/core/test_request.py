"""What is asked, by whom, and what is wrong with it."""

import testtools

from kvm_tuning.core import request
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import (
    InvalidValue,
    SeveralErrors,
    UnknownKnob,
)
from kvm_tuning.core.knobs import Choice, Count, Flag, Knob, Source, Word

KNOBS = {
    knob.name: knob
    for knob in (
        Knob('kvm:profile', Word('a profile'), 'help'),
        Knob('kvm:iothreads', Count(1, 16), 'help'),
        Knob('kvm:disk_io', Choice(('native', 'threads')), 'help'),
        Knob('kvm:page_sharing', Flag(), 'help'),
        Knob(
            'hw:cpu_policy',
            Choice(('shared', 'dedicated')),
            'help',
            nova=True,
            image='hw_cpu_policy',
            preferable=False,
        ),
    )
}
PROFILES = {
    'io': {'kvm:iothreads': '2', 'kvm:disk_io': 'native'},
    'broken': {'kvm:no': '1', 'hw:cpu_policy': 'shared'},
}


def read(extra_specs, properties=None, defaults=None):
    flavor = Flavor('small', '1', 2, 512, 0, extra_specs)
    image = None
    if properties is not None:
        image = Image('cirros', '2', properties)
    return request.read(flavor, image, KNOBS, PROFILES, defaults)


class RequestTest(testtools.TestCase):
    def test_values_are_typed_and_know_who_asked(self):
        asked = read({'kvm:iothreads': '4', 'kvm:page_sharing': 'no'})
        self.assertEqual(4, asked.value('kvm:iothreads'))
        self.assertIs(False, asked.value('kvm:page_sharing'))
        self.assertEqual(
            "kvm:iothreads=4 (flavor 'small')", str(asked.get('kvm:iothreads'))
        )
        self.assertIsNone(asked.value('kvm:disk_io'))
        self.assertEqual('x', asked.value('kvm:disk_io', 'x'))

    def test_flavor_beats_profile_beats_default(self):
        asked = read(
            {'kvm:profile': 'io', 'kvm:iothreads': '4'},
            defaults={
                'kvm:iothreads': '1',
                'kvm:disk_io': 'threads',
                'kvm:page_sharing': 'off',
            },
        )
        self.assertEqual(4, asked.value('kvm:iothreads'))
        self.assertEqual('native', asked.value('kvm:disk_io'))
        self.assertIs(False, asked.value('kvm:page_sharing'))
        sources = {key: each.source for key, each in asked.asked.items()}
        self.assertEqual(
            {
                'kvm:profile': Source.FLAVOR,
                'kvm:iothreads': Source.FLAVOR,
                'kvm:disk_io': Source.PROFILE,
                'kvm:page_sharing': Source.DEFAULT,
            },
            sources,
        )

    def test_an_image_speaks_in_novas_names_only(self):
        asked = read({}, {'hw_cpu_policy': 'dedicated', 'kvm:iothreads': '9'})
        self.assertEqual('dedicated', asked.value('hw:cpu_policy'))
        self.assertEqual(Source.IMAGE, asked.get('hw:cpu_policy').source)
        self.assertIsNone(asked.get('kvm:iothreads'))
        self.assertIsNotNone(asked.topology)

    def test_foreign_keys_are_somebody_elses(self):
        asked = read({'quota:cpu_shares': '9', 'hw:unheard_of': 'x'})
        self.assertEqual({}, dict(asked.asked))

    def test_an_unknown_key_of_ours_is_an_error(self):
        error = self.assertRaises(UnknownKnob, read, {'kvm:iothread': '2'})
        self.assertIn("flavor 'small'", str(error))
        self.assertIn('did you mean kvm:iothreads', str(error))

    def test_all_errors_come_at_once(self):
        error = self.assertRaises(
            SeveralErrors,
            read,
            {'kvm:iothreads': '17', 'kvm:no': '1', 'hw:cpu_policy': 'x'},
        )
        codes = sorted(each.code for each in error.errors)
        self.assertEqual('InvalidValue', codes[0])
        self.assertEqual('UnknownKnob', codes[-1])
        self.assertIn('from 1 to 16', str(error))

    def test_profiles_can_be_wrong_too(self):
        error = self.assertRaises(InvalidValue, read, {'kvm:profile': 'x'})
        self.assertIn('broken, io', str(error))
        error = self.assertRaises(
            SeveralErrors, read, {'kvm:profile': 'broken'}
        )
        self.assertIn("profile 'broken'", str(error))
        self.assertIn('cannot be set by', str(error))

    def test_a_long_value_is_cut_in_the_message(self):
        error = self.assertRaises(
            InvalidValue, read, {'kvm:iothreads': '9' * 5000}
        )
        self.assertLess(len(str(error)), 300)
