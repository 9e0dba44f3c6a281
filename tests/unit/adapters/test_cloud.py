"""A cloud's flavors and traits, on a cloud of plain data."""

import json
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import testtools

from kvm_tuning.adapters import cloud
from kvm_tuning.adapters.cloud import Difference
from kvm_tuning.core.exceptions import CloudFailed, InvalidDocument


class Answer:
    def __init__(self, status_code, body=None):
        self.status_code = status_code
        self.body = body
        self.text = json.dumps(body)

    def json(self):
        return self.body


class Placement:
    """Two resource providers, and what may be asked of them."""

    def __init__(self, **traits):
        self.traits = {name: set(own) for name, own in traits.items()}
        self.known = set().union(*self.traits.values())
        self.refuses = False

    def get(self, path, microversion):
        parts = urlsplit(path)
        if parts.query:
            (trait,) = parse_qs(parts.query)['required']
            if trait not in self.known:
                return Answer(400)
            return Answer(
                200,
                {
                    'resource_providers': [
                        {'uuid': name, 'name': name}
                        for name, own in self.traits.items()
                        if trait in own
                    ]
                },
            )
        name = parts.path.split('/')[2]
        return Answer(
            200,
            {
                'traits': sorted(self.traits[name]),
                'resource_provider_generation': 5,
            },
        )

    def put(self, path, microversion, json):
        if self.refuses or json['resource_provider_generation'] != 5:
            return Answer(409, {'errors': ['conflict']})
        self.traits[path.split('/')[2]] = set(json['traits'])
        return Answer(200, {})

    def delete(self, path, microversion):
        trait = path.rpartition('/')[2]
        if trait not in self.known:
            return Answer(404)
        self.known.discard(trait)
        return Answer(204)


class Compute:
    def __init__(self, **specs):
        self.specs = specs

    def find_flavor(self, name, get_extra_specs):
        if name != 'perf':
            return None
        return SimpleNamespace(name=name, extra_specs=self.specs)

    def create_flavor_extra_specs(self, flavor, specs):
        if 'kvm:typo' in specs:
            raise RuntimeError('HTTP 400')
        self.specs.update(specs)

    def delete_flavor_extra_specs_property(self, flavor, key):
        del self.specs[key]


class RetireTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.placement = Placement(
            one=('OURS', 'OURS_L3', 'HW_CPU_X86_VMX'), two=('OURS',)
        )
        self.cloud = SimpleNamespace(placement=self.placement)

    def retire(self, dry_run=False):
        return cloud.retire(
            self.cloud, ('OURS', 'OURS_L3', 'OURS_NEVER_SET'), dry_run
        )

    def test_only_ours_go(self):
        self.retire()
        self.assertEqual(
            {'one': {'HW_CPU_X86_VMX'}, 'two': set()}, self.placement.traits
        )
        self.assertEqual({'HW_CPU_X86_VMX'}, self.placement.known)
        self.assertEqual([], self.retire())

    def test_a_dry_run_changes_nothing(self):
        found = self.retire(dry_run=True)
        self.assertEqual(
            [('one', 'OURS'), ('one', 'OURS_L3'), ('two', 'OURS')], found
        )
        self.assertEqual(3, len(self.placement.known))
        self.assertEqual({'OURS'}, self.placement.traits['two'])

    def test_a_refusal_is_told(self):
        self.placement.refuses = True
        error = self.assertRaises(CloudFailed, self.retire)
        self.assertIn('409', str(error))


class FlavorTest(testtools.TestCase):
    def test_differences(self):
        now = {'same': '1', 'other': '1', 'extra': '1'}
        wanted = {'same': '1', 'other': '2', 'new': '3'}
        found = cloud.differences(now, wanted, prune=False)
        self.assertEqual(
            [Difference('new', None, '3'), Difference('other', '1', '2')],
            found,
        )
        self.assertIn(
            Difference('extra', '1', None),
            cloud.differences(now, wanted, prune=True),
        )

    def test_push(self):
        compute = Compute(other='1', extra='1')
        connection = SimpleNamespace(compute=compute)
        flavor, now = cloud.flavor_specs(connection, 'perf')
        changes = cloud.differences(now, {'other': '2'}, prune=True)
        cloud.push(connection, flavor, changes)
        self.assertEqual({'other': '2'}, compute.specs)

    def test_a_flavor_that_is_not_there(self):
        connection = SimpleNamespace(compute=Compute())
        self.assertRaises(
            InvalidDocument, cloud.flavor_specs, connection, 'none'
        )

    def test_a_refusal_is_told(self):
        connection = SimpleNamespace(compute=Compute())
        flavor, _now = cloud.flavor_specs(connection, 'perf')
        error = self.assertRaises(
            CloudFailed,
            cloud.push,
            connection,
            flavor,
            [Difference('kvm:typo', None, '1')],
        )
        self.assertIn('HTTP 400', str(error))
