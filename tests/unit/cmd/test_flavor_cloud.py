"""flavor create and push, through openstacksdk."""

import importlib.util
import json

import yaml

from kvm_tuning.core.compiled import DERIVED_ALIAS, DERIVED_TRAITS, RECORDS
from tests.fixtures.flavor_cloud import FlavorCloud
from tests.unit.cmd.base import CommandTest

L3 = 'trait:CUSTOM_KVM_TUNING_L3'
OURS = 'trait:CUSTOM_KVM_TUNING'
ALIAS = 'pci_passthrough:alias'
DEDICATED = {'hw:cpu_policy': 'dedicated'}


class FlavorCloudTest(CommandTest):
    def setUp(self):
        super().setUp()
        if importlib.util.find_spec('openstack') is None:
            self.skipTest('openstacksdk is not installed')
        self.cloud = self.useFixture(FlavorCloud())

    def document(self, properties, **fields):
        document = {
            'name': 'pub', 'vcpus': 4, 'ram': 4096, 'disk': 10, **fields,
            'properties': properties,
        }  # fmt: skip
        return self.write('document.json', json.dumps(document))

    def push(self, properties, *argv, status=0):
        done = self.run_command(
            'flavor', 'push', self.document(DEDICATED | properties),
            '--os-cloud', 'here', *argv,
        )  # fmt: skip
        self.assertEqual(status, done.status, done.stderr)
        return done

    def specs(self):
        found = self.cloud.named('pub')['extra_specs']
        return {k: v for k, v in found.items() if k not in RECORDS}

    def create(self, path, *argv, status=0):
        done = self.run_command(
            'flavor', 'create', '--from', path, '--os-cloud', 'here', *argv
        )
        self.assertEqual(status, done.status, done.stderr)
        return done


class PushTest(FlavorCloudTest):
    def setUp(self):
        super().setUp()
        self.cloud.add('pub')

    def test_a_trait_that_nothing_asks_for_goes(self):
        self.push({'kvm:cpu_locality': 'l3'})
        self.assertEqual('required', self.specs()[L3])
        self.push({'kvm:cpu_locality': 'numa'})
        self.assertEqual(
            DEDICATED | {'kvm:cpu_locality': 'numa', OURS: 'required'},
            self.specs(),
        )

    def test_vfs_that_nothing_asks_for_go(self):
        self.push({'kvm:vfs': '2'})
        self.assertEqual('kvm-tuning-vf:2', self.specs()[ALIAS])
        self.push({'kvm:vfs': '0'})
        self.assertNotIn(ALIAS, self.specs())
        self.assertNotIn(DERIVED_ALIAS, self.cloud.named('pub')['extra_specs'])

    def test_aliases_of_the_operator_stay(self):
        self.cloud.add('pub', **{ALIAS: 'gpu:1'})
        self.push({'kvm:vfs': '2'})
        self.assertEqual('gpu:1,kvm-tuning-vf:2', self.specs()[ALIAS])
        self.push({'kvm:vfs': '1'})
        self.assertEqual('gpu:1,kvm-tuning-vf:1', self.specs()[ALIAS])
        # One that came later, and another name of ours.
        self.cloud.named('pub')['extra_specs'][ALIAS] += ',fpga:3'
        self.push({'kvm:vfs': '1'}, '--alias', 'fast')
        self.assertEqual('gpu:1,fpga:3,fast:1', self.specs()[ALIAS])
        self.push({'kvm:vfs': '0'})
        self.assertEqual('gpu:1,fpga:3', self.specs()[ALIAS])

    def test_traits_of_the_operator_stay(self):
        theirs = {L3: 'required', 'trait:CUSTOM_GPU': 'forbidden'}
        self.cloud.add('pub', **theirs)
        self.push({'kvm:cpu_locality': 'l3'})
        self.push({'kvm:cpu_locality': 'any'})
        found = self.specs()
        self.assertEqual(theirs, {key: found.get(key) for key in theirs})

    def test_what_the_cloud_still_asks_for_stays(self):
        self.push({'kvm:vfs': '2', 'kvm:cpu_locality': 'l3'})
        self.push({'kvm:iothreads': '1'})
        found = self.specs()
        self.assertEqual(
            ('kvm-tuning-vf:2', 'required'), (found[ALIAS], found[L3])
        )
        self.push({'kvm:iothreads': '1'}, '--prune')
        self.assertEqual(
            DEDICATED | {'kvm:iothreads': '1', OURS: 'required'}, self.specs()
        )

    def test_a_document_without_keys_of_ours_takes_all_back(self):
        self.push({'kvm:vfs': '2'})
        self.push({}, '--prune')
        self.assertEqual(DEDICATED, self.cloud.named('pub')['extra_specs'])

    def test_what_a_release_without_a_record_derived(self):
        self.cloud.add(
            'pub',
            **DEDICATED,
            **{
                'kvm:cpu_locality': 'l3', 'kvm:vfs': '2', L3: 'required',
                OURS: 'required', ALIAS: 'gpu:1,kvm-tuning-vf:2',
            },
        )  # fmt: skip
        self.push({'kvm:cpu_locality': 'numa', 'kvm:vfs': '0'})
        self.assertNotIn(L3, self.specs())
        self.assertEqual('gpu:1', self.specs()[ALIAS])

    def test_a_dump_of_a_pushed_flavor_is_a_document(self):
        self.push({'kvm:vfs': '2', 'kvm:cpu_locality': 'l3'})
        dump = dict(self.cloud.named('pub')['extra_specs'])
        self.assertIn('nothing to change', self.push(dump).stdout)
        self.push(dump | {'kvm:vfs': '0', 'kvm:cpu_locality': 'any'})
        self.assertNotIn(ALIAS, self.specs())
        self.assertNotIn(L3, self.specs())

    def test_a_contradiction_in_the_cloud_is_refused(self):
        self.cloud.add('pub', **{L3: 'forbidden'})
        done = self.push({'kvm:cpu_locality': 'l3'}, status=1)
        self.assertIn(f'{L3}=forbidden', done.stderr)
        self.assertIn('the cloud has in flavor pub', done.stderr)
        self.assertEqual({L3: 'forbidden'}, self.specs())
        self.push({'kvm:cpu_locality': 'l3'}, '--prune')
        self.assertEqual('required', self.specs()[L3])

    def test_an_interrupted_push_is_completed_by_the_next(self):
        self.push({'kvm:vfs': '2', 'kvm:cpu_locality': 'l3'})
        self.cloud.kept.add(L3)
        wanted = {'kvm:vfs': '1', 'kvm:cpu_locality': 'any',
                  'kvm:vif_backend': 'vhost'}  # fmt: skip
        self.push(wanted, status=3)
        self.assertIn(L3, self.specs())
        self.cloud.kept.clear()
        self.push(wanted)
        self.assertNotIn(L3, self.specs())
        self.assertEqual('kvm-tuning-vf:1', self.specs()[ALIAS])
        self.assertEqual(
            'CUSTOM_KVM_TUNING,CUSTOM_KVM_TUNING_VHOST',
            self.cloud.named('pub')['extra_specs'][DERIVED_TRAITS],
        )

    def test_a_private_flavor_is_found(self):
        self.cloud.named('pub')['os-flavor-access:is_public'] = False
        self.push({'kvm:iothreads': '1'})
        self.assertEqual('1', self.specs()['kvm:iothreads'])

    def test_a_dry_run_changes_nothing(self):
        done = self.push({'kvm:vfs': '2'}, '--dry-run')
        self.assertIn('not changed', done.stdout)
        self.assertEqual({}, self.specs())


class CreateTest(FlavorCloudTest):
    def test_all_that_a_document_says(self):
        path = self.write('f.yaml', yaml.safe_dump({
            'name': 'big one', 'id': 7, 'vcpus': 4, 'ram': 4096, 'disk': 10,
            'swap': 512, 'OS-FLV-EXT-DATA:ephemeral': 20,
            'os-flavor-access:is_public': False, 'rxtx_factor': 1.5,
            'description': 'for databases',
            'access_project_ids': ['p1', 'p2'],
            'properties': {'kvm:cpu_locality': 'l3', **DEDICATED},
        }))  # fmt: skip
        self.create(path)
        found = self.cloud.named('big one')
        self.assertEqual(
            {
                'id': '7', 'name': 'big one', 'vcpus': 4, 'ram': 4096,
                'disk': 10, 'swap': 512, 'OS-FLV-EXT-DATA:ephemeral': 20,
                'os-flavor-access:is_public': False, 'rxtx_factor': 1.5,
                'description': 'for databases', 'access': ['p1', 'p2'],
            },
            {k: v for k, v in found.items() if k != 'extra_specs'},
        )  # fmt: skip
        self.assertEqual('required', found['extra_specs'][L3])
        self.assertIn('it exists', self.create(path).stdout)
        done = self.run_command('flavor', 'push', path, '--os-cloud', 'here')
        self.assertIn('nothing to change', done.stdout, done.stderr)

    def test_no_id(self):
        for name, fields in (
            ('a', {}), ('b', {'id': 'auto'}), ('c', {'id': ''}),
        ):  # fmt: skip
            self.create(self.document({}, name=name, **fields))
            self.assertTrue(self.cloud.named(name)['id'].startswith('auto-'))
        # What an old client prints of no swap.
        self.create(self.document({}, name='d', swap=''))
        self.assertEqual(0, self.cloud.named('d')['swap'])

    def test_a_flavor_of_another_size(self):
        self.cloud.add('pub')
        path = self.document(DEDICATED, vcpus=8, swap=64)
        done = self.create(path, status=1)
        self.assertIn('vcpus 4, not 8', done.stderr)
        self.assertIn('swap 0, not 64', done.stderr)
        self.create(path, '--keep')
        self.assertEqual(4, self.cloud.named('pub')['vcpus'])

    def test_nothing_is_left_of_what_is_refused(self):
        self.cloud.refused.add('kvm:iothreads')
        done = self.create(self.document({'kvm:iothreads': '1'}), status=3)
        self.assertIn('kvm:iothreads', done.stderr)
        self.assertEqual({}, self.cloud.flavors)
        for fields, said in (
            ({'os-flavor-access:is_public': 'maybe'}, "is_public=maybe"),
            ({'swap': -1}, 'swap=-1'),
            ({'access_project_ids': ['p']}, 'is_public=false'),
            ({'is_public': True, 'os-flavor-access:is_public': False},
             'want one of them'),
        ):  # fmt: skip
            done = self.create(self.document({}, **fields), status=1)
            self.assertIn(said, done.stderr)
        self.assertEqual({}, self.cloud.flavors)

    def test_a_dry_run(self):
        done = self.create(self.document({}), '--dry-run', '-f', 'json')
        self.assertFalse(done.document['created'])
        self.assertEqual({}, self.cloud.flavors)
