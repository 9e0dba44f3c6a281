"""vhost, on a port that Neutron's agent for macvtap has bound."""

import time

from kvm_tuning.core import cpuset
from tests.cloud_lab.base import FIRST, HOUSEKEEPING, CloudLabTest

#: What the agent's configuration calls the node's first port.
_PHYSICAL = 'lab'


class VhostTest(CloudLabTest):
    def setUp(self):
        super().setUp()
        self.shell(FIRST, 'systemctl start neutron-macvtap-agent')
        self.addCleanup(
            self.shell, FIRST, 'systemctl stop neutron-macvtap-agent'
        )
        made = self.cloud.network.create_network(
            name=self.id().rpartition('.')[2],
            provider_network_type='flat',
            provider_physical_network=_PHYSICAL,
        )
        self.addCleanup(self.cloud.network.delete_network, made)
        self.cloud.network.create_subnet(
            network_id=made.id,
            ip_version=4,
            cidr='10.8.0.0/24',
            enable_dhcp=False,
        )
        self.network = made.name
        end = time.monotonic() + 240
        while not any(
            agent.is_alive for agent in self.cloud.network.agents(host=FIRST)
        ):
            self.assertLess(time.monotonic(), end, 'the agent is not alive')
            time.sleep(1)

    def test_vhost(self):
        """Two queues, in the kernel of the host, on the pCPUs that are asked
        for.
        """
        flavor = self.pushed(
            'perf.net', 2, 128, kvm__vif_backend='vhost', kvm__vif_queues=2,
            kvm__vhost_cpus='housekeeping',
        )  # fmt: skip
        self.assertEqual(
            'required', flavor.extra_specs['trait:CUSTOM_KVM_TUNING_VHOST']
        )
        server = self.boot(flavor, network=self.network, host=FIRST)
        self.clean(server)
        (nic,) = self.xml(server).iterfind('devices/interface')
        self.assertEqual('direct', nic.get('type'))
        driver = nic.find('driver')
        self.assertEqual('2', driver.get('queues'))
        self.assertIn(driver.get('name'), (None, 'vhost'))
        pid = f'$(cat /run/libvirt/qemu/{server.instance_name}.pid)'
        opened = self.shell(FIRST, f'ls -l /proc/{pid}/fd')
        self.assertEqual(2, opened.count('/dev/vhost-net'), opened)
        threads = self.shell(
            FIRST,
            f'for task in /proc/{pid}/task/*; do grep -q ^vhost- $task/comm '
            f'&& taskset -cp $(basename $task); done; true',
        ).splitlines()
        self.assertTrue(threads)
        for thread in threads:
            cpus = cpuset.parse(thread.rpartition(': ')[2])
            self.assertEqual(HOUSEKEEPING, cpus, threads)
