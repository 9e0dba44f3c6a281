"""A guest goes where its devices are."""

from dataclasses import replace

import testtools

from kvm_tuning.core.demands import Affinity, CellDemand
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Source
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.solver import present
from tests.fixtures.fake_host import FakeHost, FakePf

CELL = CellDemand(0, frozenset({0}), frozenset({0}), 1024)
HOST = FakeHost(pfs=(FakePf('eth0', cell=1, vfs=2),)).inventory()
GUEST = Guest('one', 'uuid', 'kvm', 'x86_64', 'q35', 1, 1024)
OWN = replace(GUEST, host_devices=('0000:11:10.0', '0000:99:00.0'))


def demands(guest, *others, policy=None):
    asked = {}
    if policy is not None:
        key = 'hw:pci_numa_affinity_policy'
        asked[key] = Asked(key, policy, policy, Source.FLAVOR, 'f')
    request = Request('f', 1, 1, asked)
    return list(present.demands(request, guest, others, HOST))


class TestDemands(testtools.TestCase):
    def test_a_device_is_a_preference(self):
        (demand,) = demands(OWN, CELL)
        self.assertEqual(Affinity.PREFERRED, demand.affinity)
        self.assertEqual({'0000:11:10.0'}, demand.present)
        self.assertEqual(1, demand.count)

    def test_the_flavor_makes_it_a_promise(self):
        (demand,) = demands(OWN, CELL, policy='required')
        self.assertEqual(Affinity.REQUIRED, demand.affinity)

    def test_nothing_is_demanded_without_need(self):
        self.assertEqual([], demands(GUEST, CELL))
        self.assertEqual([], demands(OWN))
