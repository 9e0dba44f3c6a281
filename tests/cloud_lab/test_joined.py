"""A compute host that cloud-init has made, and nobody else."""

import json
import time

from tests.cloud_lab.base import CELLS, JOINED, CloudLabTest


class JoinedTest(CloudLabTest):
    deadline = 1200

    def test_from_a_seed_to_an_audited_server(self):
        """Booted cold with a NoCloud seed, a node joins the cloud, and takes
        a server as good as any.
        """
        self.addCleanup(self._leave)
        self.watched = (JOINED,)
        self.cloud_lab('join')
        said = json.loads(
            self.shell(
                JOINED, 'cloud-init status --wait --format=json'
            ).lstrip('.\n')
        )  # fmt: skip
        self.assertEqual(('done', []), (said['status'], said['errors']))
        log = self.shell(JOINED, 'grep "kvm-tuning: " /var/log/cloud-init.log')
        self.assertIn('kvm-tuning: ready; made: ', log)
        self._joins()
        flavor = self.pushed('perf.l3', 2, 128)
        server = self.boot(flavor, host=JOINED)
        self.clean(server)
        pins = self.placed(self.xml(server))
        self.assertIn(pins['vcpupin0'] | pins['vcpupin1'], CELLS)

    def _joins(self):
        end = time.monotonic() + 300
        while not any(
            each.name == JOINED and each.state == 'up'
            for each in self.compute.hypervisors()
        ):
            self.assertLess(time.monotonic(), end)
            time.sleep(1)

    def _leave(self):
        self.cloud_lab('leave')
        for service in self.compute.services(binary='nova-compute'):
            if service.host == JOINED:
                self.compute.delete_service(service)
