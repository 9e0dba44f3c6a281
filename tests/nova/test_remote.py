"""The nova-compute of a host is asked over the message bus."""

import fixtures
import oslo_messaging

from kvm_tuning.adapters.nova import remote
from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import CloudFailed, Unsupported
from tests.nova import base
from tests.nova.test_rebalance import ScatteredTest


class RemoteTest(ScatteredTest):
    def test_a_plan_is_asked_for(self):
        servers = self.scattered()
        found = remote.plan('compute1', None, 0.0)
        self.assertEqual('compute1', found['node'])
        self.assertEqual(
            {'before': 2, 'after': 0, 'least': 0}, found['excess']
        )
        self.assertEqual(
            {server['id'] for server in servers}, self.stays(found).keys()
        )
        for each in found['guests']:
            then = cpuset.parse(each['pcpus']['after'])
            self.assertTrue(any(then <= domain for domain in base.L3))
        # Nothing has moved, and Nova's own methods are there.
        self.assertEqual({4, 5, 8, 9}, self.pins(servers[0]))
        self.boot(vcpus=1)

    def test_the_limits_are_the_caller_s(self):
        self.scattered()
        self.assertEqual(0, remote.plan('compute1', 0.1, 0.0)['moved'])
        self.assertEqual(0, remote.plan('compute1', None, 0.9)['moved'])

    def test_what_cannot_be_planned(self):
        first, second = self.scattered()
        self.give(second, {0: 4, 1: 7, 2: 10, 3: 11})
        error = self.assertRaises(
            Unsupported, remote.plan, 'compute1', None, 0.0
        )
        self.assertIn("host 'compute1': guests ", str(error))
        self.assertIn('both have a vCPU on pCPU 4', str(error))

    def test_a_host_without_our_driver(self):
        self.flags(compute_driver='libvirt.LibvirtDriver')
        self.start_compute('stock')
        error = self.assertRaises(CloudFailed, remote.plan, 'stock', None, 0.0)
        self.assertIn('KvmTuningDriver', str(error))

    def test_nobody_answers(self):
        def lost(*args, **kwargs):
            raise oslo_messaging.MessagingTimeout('no reply')

        self.useFixture(
            fixtures.MonkeyPatch(
                'oslo_messaging.rpc.client._CallContext.call', lost
            )
        )
        error = self.assertRaises(CloudFailed, remote.plan, 'no', None, 0.0)
        self.assertIn("host 'no' has no answer (no reply)", str(error))
