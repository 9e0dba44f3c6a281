"""What the DevStack plugin writes, as Nova reads it."""

import json
import os
from unittest import SkipTest, skipUnless

import testtools

try:
    import nova.conf
except ImportError as exc:
    if exc.name != 'nova':
        raise
    raise SkipTest('needs Nova') from exc

from nova.scheduler import filters, weights
from nova.virt import hardware

from tests.fixtures import devstack

LOCALRC = """KVM_TUNING_CPU_DEDICATED_SET=2-7
KVM_TUNING_CPU_SHARED_SET=0-1
KVM_TUNING_HOST_PREP=apply
"""
PORT = """[[post-config|$KVM_TUNING_CONF]]
[sriov]
vfs = eth0=2
"""


@skipUnless(os.environ.get(devstack.VARIABLE), f'{devstack.VARIABLE} is unset')
class TestNovaConf(testtools.TestCase):
    def load(self, node, name):
        conf = nova.conf.CONF
        conf.reset()
        conf([], project='nova', default_config_files=[node.path(name)])
        # Tests that come after in this process register arguments, which
        # oslo.config takes before it has parsed any only.
        self.addCleanup(conf.reset)
        return conf

    def test_devices_of_others_stay(self):
        node = self.useFixture(devstack.DevStack('n-cpu,n-sch', LOCALRC, PORT))
        theirs = {
            'device_spec': ['{"vendor_id": "10de", "product_id": "1db6"}'],
            'alias': [
                '{"vendor_id": "10de", "product_id": "1db6", '
                '"device_type": "type-PCI", "name": "gpu"}'
            ],
        }
        node.write(
            'etc/nova/nova.conf',
            '[DEFAULT]\n[filter_scheduler]\n[pci]\n'
            + ''.join(f'{name} = {text}\n' for name, [text] in theirs.items()),
        )
        node.write('etc/nova/rootwrap.d/compute.filters', '')
        for _again in range(2):
            status, output = node.run('configure')
            self.assertEqual(0, status, output)
            pci = self.load(node, 'etc/nova/nova.conf').pci
            self.assertEqual(theirs['device_spec'], pci.device_spec[:1])
            self.assertEqual(2, len(pci.device_spec))
            names = [json.loads(text)['name'] for text in pci.alias]
            self.assertEqual('gpu', names[0])
            self.assertIn('kvm-tuning-vf', names[1:])
            self.assertEqual(len(set(names)), len(names))
        status, output = node.run('unstack')
        self.assertEqual(0, status, output)
        self.assertEqual(theirs, node.nova()['pci'])

    def test_nova_reads_it(self):
        node = self.useFixture(devstack.DevStack('n-cpu,n-sch', LOCALRC, PORT))
        status, output = node.run('stack')
        self.assertEqual(0, status, output)
        conf = self.load(node, 'etc/nova/nova-cpu.conf')
        self.assertEqual('kvm_tuning.KvmTuningDriver', conf.compute_driver)
        self.assertEqual({2, 3, 4, 5, 6, 7}, hardware.get_cpu_dedicated_set())
        self.assertEqual({0, 1}, hardware.get_cpu_shared_set())
        [spec] = map(json.loads, conf.pci.device_spec)
        aliases = {a['name']: a for a in map(json.loads, conf.pci.alias)}
        self.assertIn('kvm-tuning-vf', aliases)
        for alias in aliases.values():
            self.assertEqual('type-VF', alias['device_type'])
            self.assertEqual(spec['product_id'], alias['product_id'])
        conf = self.load(node, 'etc/nova/nova.conf').filter_scheduler
        known = {
            each.__name__: each
            for each in filters.HostFilterHandler().get_matching_classes(
                conf.available_filters
            )
        }
        self.assertIn('KvmTuningFilter', known)
        self.assertEqual(
            set(), set(conf.enabled_filters) - known.keys(), known
        )
        weighers = {
            each.__name__
            for each in weights.HostWeightHandler().get_matching_classes(
                conf.weight_classes
            )
        }
        self.assertLessEqual({'KvmTuningWeigher', 'RAMWeigher'}, weighers)
        status, output = node.run('unstack')
        self.assertEqual(0, status, output)
        conf = self.load(node, 'etc/nova/nova.conf')
        self.assertEqual('libvirt.LibvirtDriver', conf.compute_driver)
        self.assertIsNone(hardware.get_cpu_dedicated_set())
        self.assertEqual([], conf.pci.device_spec)
        self.assertEqual(
            ['nova.scheduler.weights.all_weighers'],
            conf.filter_scheduler.weight_classes,
        )
