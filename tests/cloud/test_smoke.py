"""The operator's smoke test, with the sample flavors of the wheel."""

import json
from pathlib import Path
import sys

from tests.cloud.base import BLANK, NETWORK, CloudTest

SAMPLES = Path(sys.prefix) / 'etc/kvm_tuning/flavors'
#: What an emulated guest of one vCPU on one NUMA cell can have.
HERE = ('plain', 'density', 'latency', 'windows-desktop')
SMALL = ('--most-vcpus', '1', '--most-ram', '128', '--most-disk', '0')


class SmokeTest(CloudTest):
    def _smoke(self, *names, status):
        paths = [str(SAMPLES / f'{name}.yaml') for name in names]
        printed = self.tool(
            'nova', 'smoke', '--image', BLANK, '--network', NETWORK,
            '-f', 'json', *SMALL, *paths, status=status,
        )  # fmt: skip
        return {row['flavor']: row for row in json.loads(printed)}

    def test_what_fits(self):
        """Each is ACTIVE, as promised, and gone."""
        flavors = [each.id for each in self.compute.flavors()]
        rows = self._smoke(*HERE, status=0)
        self.assertEqual(
            dict.fromkeys(HERE, ('ACTIVE', True)),
            {name: (row['status'], row['kept']) for name, row in rows.items()},
        )
        self.assertEqual([], list(self.compute.servers()))
        self.assertEqual(flavors, [each.id for each in self.compute.flavors()])

    def test_what_does_not(self):
        """It says what is missing, and cleans up."""
        rows = self._smoke('network-function-vf', 'database', status=1)
        for name, status, words in (
            ('network-function-vf', 'ERROR', 'No valid host'),
            # Two cells of one vCPU
            ('database', 'refused', 'cannot be evenly distributed'),
        ):
            row = rows.pop(name)
            self.assertEqual((status, False), (row['status'], row['kept']))
            self.assertIn(words, row['why'])
        self.assertEqual({}, rows)
        self.assertEqual([], list(self.compute.servers()))
