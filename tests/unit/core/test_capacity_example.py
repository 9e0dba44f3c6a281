"""The guest that stands for all guests of a flavor."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core import request
from kvm_tuning.core.capacity.example import example
from kvm_tuning.core.documents import Flavor


class ExampleTest(testtools.TestCase):
    def test_it_has_what_promises_may_be_about(self):
        knobs = loader.knobs(loader.load())
        asked = request.read(Flavor('small', '1', 3, 512, 0, {}), None, knobs)
        found = example(asked)
        self.assertEqual('small', found.name)
        self.assertEqual((3, 512 * 1024), (found.vcpus, found.memory_kib))
        self.assertEqual('other', example(asked, 'other').name)
        self.assertEqual(
            [('virtio', 'vda', 'the disk')],
            [(each.bus, each.target, each.source) for each in found.disks],
        )
        self.assertEqual(
            [
                ('bridge', 'virtio', {}),
                ('direct', 'virtio', {'dev': 'the NIC'}),
            ],
            [(n.type, n.model, dict(n.source)) for n in found.interfaces],
        )
        self.assertTrue(all(nic.virtio for nic in found.interfaces))
        self.assertEqual(2, len({each.mac for each in found.interfaces}))
