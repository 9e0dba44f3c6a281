"""Queues of all devices share the interrupts that KVM can route."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core import domain, plan, queue_budget, request
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import ConflictingKnobs
from kvm_tuning.core.site import Site
from tests.fixtures import domain_store
from tests.fixtures.fake_host import FakeHost

DISKS = ''.join(
    f"<disk type='file' device='disk'><target dev='vd{letter}' "
    f"bus='virtio'/></disk>"
    for letter in 'bcdefghijklmnopq'
)


class DiskQueuesTest(testtools.TestCase):
    def plan(self, queues, defaults=None, **specs):
        xml = domain_store.xml('g', 2).replace(
            '</devices>', DISKS + '</devices>'
        )
        hooks = loader.load()
        asked = request.read(
            Flavor('f', '1', 2, 256, 0, {'kvm:disk_queues': queues, **specs}),
            None,
            loader.knobs(hooks),
            {},
            defaults or {},
        )
        host = FakeHost(cells=1).inventory()
        return plan.make(hooks, asked, domain.read(xml).guest, Site(host))

    def test_more_than_there_are_interrupts(self):
        error = self.assertRaises(ConflictingKnobs, self.plan, '256')
        self.assertIn('kvm:disk_queues=256', str(error))
        self.assertIn('3840', str(error))

    def test_those_that_a_guest_has(self):
        more = (
            "<controller type='scsi' index='0' model='virtio-scsi'/>"
            "<controller type='scsi' index='1' model='lsilogic'/>"
            "<disk type='file' device='disk'><driver queues='5'/>"
            "<target dev='vdb' bus='virtio'/></disk></devices>"
        )
        xml = domain_store.xml('g', 3).replace('</devices>', more)
        # A NIC of one pair, two disks, a controller
        wanted = (2 + 2) + (3 + 1) + (5 + 1) + (3 + 1)
        self.assertEqual(wanted, queue_budget.in_use(domain.read(xml).current))

    def test_as_many_as_fit(self):
        for queues in ('auto', '100'):
            self.assertEqual((), self.plan(queues).unkept)
