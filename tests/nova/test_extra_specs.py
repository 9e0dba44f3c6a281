"""Flavors with our keys, through Nova's API."""

import re

from nova.api.validation.extra_specs import validators
from nova.tests.functional.api import client

from kvm_tuning import loader
from kvm_tuning.core import compiled
from kvm_tuning.core.nova import spec_names
from tests.nova import base


class ExtraSpecsTest(base.ServersTest):
    def refused(self, **specs):
        error = self.assertRaises(
            client.OpenStackApiException, self.flavor, **specs
        )
        self.assertEqual(400, error.response.status_code)
        return error.response.text

    def test_a_value_outside_of_its_kind_is_a_400(self):
        text = self.refused(kvm__disk_cache='bogus')
        self.assertIn('bogus', text)
        self.assertIn('writethrough', text)

    def test_an_unknown_key_of_our_namespace_is_a_400(self):
        self.assertIn('kvm:typo', self.refused(kvm__typo='1'))

    def test_our_namespace_in_another_spelling_is_a_400(self):
        for key in ('KVM__iothreads', 'kvm_tuning__profile', 'Kvm__x'):
            self.assertIn(key.replace('__', ':'), self.refused(**{key: '1'}))

    def test_we_know_the_names_of_nova(self):
        theirs = {
            re.sub(r'\.\{\w+\}$', '', name)
            for name in validators.VALIDATORS
            if name.startswith('hw:')
        }
        self.assertEqual(set(), theirs - spec_names.NOVA_NAMES)

    def test_both_since_nova_validates(self):
        self.api.microversion = '2.86'
        self.assertIn('bogus', self.refused(kvm__disk_cache='bogus'))
        self.assertIn('kvm:typo', self.refused(kvm__typo='1'))

    def test_numbers_have_bounds(self):
        for specs in (
            {'kvm__iothreads': '17'},
            {'kvm__iothreads': '+2'},
            {'kvm__vif_queues': '0'},
            {'kvm__vif_queues': '999'},
            {'kvm__disk_queues': '257'},
        ):
            (text,) = specs.values()
            self.assertIn(text, self.refused(**specs))

    def test_old_microversions_store_anything(self):
        self.api.microversion = '2.85'
        self.flavor(kvm__typo='1')

    def test_every_knob_takes_what_it_says(self):
        knobs = loader.knobs(loader.load())
        ours = {n: k for n, k in knobs.items() if not k.nova}
        self.assertTrue(ours)
        specs = {}
        for name, knob in ours.items():
            schema = knob.kind.schema()
            first = schema.get('enum', [None])[0]
            specs[name.replace(':', '__')] = first or (
                'true' if schema.get('type') == 'boolean' else '1'
            )
        self.flavor(**specs)

    def test_the_record_of_what_was_derived_is_taken(self):
        specs = compiled.compile(
            {'kvm:vfs': '2', 'kvm:cpu_locality': 'l3'},
            'nic',
            loader.knobs(loader.load()),
        )
        self.assertIn(compiled.DERIVED_TRAITS, specs)
        self.assertIn(compiled.DERIVED_ALIAS, specs)
        self.flavor(**{k.replace(':', '__'): v for k, v in specs.items()})

    def test_other_namespaces_are_left_alone(self):
        self.flavor(other__anything='goes', **{'hw__cpu_policy': 'shared'})
