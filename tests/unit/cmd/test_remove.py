"""remove: a host as it was, whatever of an installation there is."""

import importlib.util
import itertools
import json
import os
import shutil

import fixtures
import testtools

from kvm_tuning.cmd import host_session
from kvm_tuning.host.guests import libvirt_hooks
from kvm_tuning.host.prep import provision
from tests.fixtures import prepared, whole_host
from tests.fixtures.flavor_cloud import FlavorCloud
from tests.unit.cmd.test_host_prep import HostPrepTest

TOP = os.path.join(os.path.dirname(__file__), *['..'] * 3)
DOCUMENT = """
config:
  ksm: {run: off}
  transparent_huge_pages: {enabled: never}
  kvm_modules: {vhost_net: true}
"""
GATE = 'etc/systemd/system/nova-compute.service.d/50-kvm-tuning.conf'


class RemoveTest(HostPrepTest):
    def build(self):
        kernel = whole_host.build(self.root)
        shutil.rmtree(f'{self.root}/etc/kvm-tuning')
        return kernel

    def setUp(self):
        super().setUp()
        self.before = prepared.snapshot(self.root)

    def provision(self):
        path = self.useFixture(fixtures.TempDir()).join('document')
        with open(path, 'w') as file:
            file.write(DOCUMENT)
        done = self.host('provision', path)
        self.assertEqual(0, done.status, done)

    def hooks(self):
        libvirt_hooks.install(
            host_session.system(self.root), '/usr/bin/kvm-tuning'
        )

    def shipped(self, name):
        with open(f'{TOP}/{name}') as file:
            return file.read()

    def gate(self):
        self.kernel.put(
            GATE, '# Written by cloud-init (kvm-tuning): the ready gate.\n'
        )
        self.kernel.put(
            'etc/systemd/system/libvirtd.service.d/gate.conf',
            self.shipped('etc/kvm_tuning/systemd/ready.conf'),
        )

    def cloud_init(self):
        self.kernel.put(
            'etc/cloud/cloud.cfg.d/50_kvm_tuning.cfg', 'kvm_tuning: {}\n'
        )
        folder = f'{self.root}/usr/lib/python3/dist-packages'
        os.makedirs(folder, exist_ok=True)
        os.symlink('/opt/kvm-tuning/gone.py', f'{folder}/cc_kvm_tuning.py')

    def rootwrap(self):
        name = 'rootwrap.d/kvm-tuning.filters'
        self.kernel.put(
            f'etc/nova/{name}', self.shipped(f'etc/kvm_tuning/{name}')
        )

    def remove(self, *argv, status=0):
        done = self.command.run('remove', '-f', 'json', *argv)
        self.assertEqual(status, done.status, done)
        return {i['what']: i['result'] for i in done.document['items']}

    def left(self):
        """Return the files that are not as they were."""
        return {
            path
            for path in prepared.differences(
                prepared.snapshot(self.root), self.before
            )
            # KSM's counters begin again.
            if not path.startswith('sys/kernel/mm/ksm/pages_')
        }

    def test_any_part_of_an_installation(self):
        parts = (self.provision, self.hooks, self.gate, self.cloud_init,
                 self.rootwrap)  # fmt: skip
        for count in range(len(parts) + 1):
            for chosen in itertools.combinations(parts, count):
                for part in chosen:
                    part()
                self.remove()
                self.assertEqual(set(), self.left(), chosen)
                self.assertEqual({}, self.remove())
        self.assertFalse(
            os.path.exists(f'{self.root}/{os.path.dirname(GATE)}')
        )
        self.assertFalse(os.path.exists(f'{self.root}/etc/kvm-tuning'))
        self.assertFalse(os.path.exists(f'{self.root}/var/lib/kvm-tuning'))

    def test_a_dry_run(self):
        for part in (self.provision, self.hooks, self.gate, self.cloud_init):
            part()
        there = prepared.snapshot(self.root)
        found = self.remove('--dry-run')
        self.assertEqual(there, prepared.snapshot(self.root))
        self.assertEqual('would be put back', found['KSM run'])
        self.assertEqual('would be removed', found[f'/{GATE}'])
        self.assertEqual('would be removed', found[f'/{libvirt_hooks.SCRIPT}'])

    def test_what_somebody_else_wrote_is_left_and_named(self):
        rootwrap = 'etc/nova/rootwrap.d/kvm-tuning.filters'
        theirs = {
            rootwrap: '[Filters]\n',
            libvirt_hooks.SCRIPT: '#!/bin/sh\n',
            'etc/kvm-tuning/kvm-tuning.conf': '[ksm]\nrun = off\n',
            'etc/nova/nova.conf': (
                '[DEFAULT]\ncompute_driver = kvm_tuning.KvmTuningDriver\n'
            ),
            'etc/systemd/system/nova-compute.service.d/50-kvm-tuning.conf': (
                '[Service]\n'
            ),
        }
        for path, text in theirs.items():
            self.kernel.put(path, text)
        there = prepared.snapshot(self.root)
        self.provision()
        found = self.remove(status=1)
        self.assertIn('did not write it', found[f'/{rootwrap}'])
        self.assertIn('you wrote it', found['/etc/kvm-tuning/kvm-tuning.conf'])
        self.assertIn('libvirt.LibvirtDriver', found['/etc/nova/nova.conf'])
        self.assertIn('move it away', found["libvirt's hooks"])
        self.before = there
        self.assertEqual(set(), self.left())

    def test_exchanges_of_pcpus(self):
        history = 'var/lib/kvm-tuning/rebalance-history.json'
        self.kernel.put(history, '{"version": 1, "exchanges": []}\n')
        self.assertEqual({f'/{history}': 'removed'}, self.remove())
        self.assertEqual(set(), self.left())
        # One that is unfinished stays: only it says where threads belong.
        journal = 'var/lib/kvm-tuning/rebalance.json'
        self.kernel.put(journal, '{"version": 1}\n')
        found = self.remove(status=1)
        self.assertIn('--resume', found[f'/{journal}'])
        self.assertTrue(os.path.exists(f'{self.root}/{journal}'))

    def test_a_configuration_that_cannot_be_read(self):
        self.provision()
        self.kernel.put(provision.CONFIGURATION, (
            '# Written by kvm-tuning host provision\n[ksm]\nrun = maybe\n'
        ))  # fmt: skip
        self.remove()
        self.assertEqual(set(), self.left())

    def test_what_cannot_be_put_back_keeps_what_says_how(self):
        self.provision()
        journal = 'var/lib/kvm-tuning/journal.json'
        text = json.loads(self.kernel.get(journal))
        self.kernel.put(journal, json.dumps({**text, 'version': 99}))
        found = self.remove(status=1)
        self.assertIn('left: ', found['host settings'])
        self.assertIn('still in force', found[f'/{provision.CONFIGURATION}'])
        self.assertTrue(os.path.exists(f'{self.root}/{journal}'))
        self.kernel.put(journal, json.dumps(text))
        self.remove()
        self.assertEqual(set(), self.left())


class CloudTest(testtools.TestCase):
    def test_recorded_flavors(self):
        if importlib.util.find_spec('openstack') is None:
            self.skipTest('openstacksdk is not installed')
        from kvm_tuning.adapters import cloud

        fake = self.useFixture(FlavorCloud())
        fake.add('ours', **{'derived:kvm_tuning_traits': 'CUSTOM_KVM_TUNING'})
        fake.add('theirs', **{'trait:CUSTOM_KVM_TUNING': 'required'})
        fake.flavors['ours']['os-flavor-access:is_public'] = False
        found = list(cloud.recorded_flavors(cloud.connect('here')))
        self.assertEqual(['ours'], [flavor.name for flavor, _ in found])
