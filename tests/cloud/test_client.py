"""What an operator types: the ``openstack`` client."""

import json
import subprocess
import uuid

from tests.cloud.base import CloudTest


class ClientTest(CloudTest):
    """Flavor properties are where the client is the point."""

    # Nothing is booted
    variant = None

    def _openstack(self, *words, status=0):
        done = subprocess.run(
            ['openstack', *words], capture_output=True, text=True, check=False
        )
        told = done.stdout + done.stderr
        self.assertEqual(status, done.returncode, told)
        return told

    def test_flavor_properties(self):
        """They are set and shown as documented; bad ones are refused, and
        what was there before is still there.
        """
        name = f'client-{uuid.uuid4().hex[:8]}'
        self._openstack(
            'flavor', 'create', '--vcpus', '1', '--ram', '64', '--disk', '0',
            '--property', 'kvm:cpu_locality=l3',
            '--property', 'kvm:iothreads=2', name,
        )  # fmt: skip
        self.addCleanup(
            lambda: self.compute.delete_flavor(self.compute.find_flavor(name))
        )
        told = self._openstack(
            'flavor', 'set', '--property', 'kvm:iothreads=0', name, status=1
        )
        self.assertIn('400: ', told)
        self.assertIn("less than the min value of '1'", told)
        told = self._openstack(
            'flavor', 'set', '--property', 'kvm:iothread=2', name, status=1
        )
        self.assertIn('400: ', told)
        self.assertIn('kvm:iothread', told)
        found = json.loads(
            self._openstack('flavor', 'show', name, '-f', 'json')
        )
        self.assertEqual(
            {'kvm:cpu_locality': 'l3', 'kvm:iothreads': '2'},
            found['properties'],
        )
