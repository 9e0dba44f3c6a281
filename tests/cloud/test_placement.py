"""Who gets which pCPU, and who gets none."""

import os
from pathlib import Path

from tests.cloud.base import DEDICATED, NETWORK, CloudTest

_THP = Path('/sys/kernel/mm/transparent_hugepage/enabled')


def other_mode():
    """Return a mode of transparent huge pages that this host is not on."""
    return 'always' if '[never]' in _THP.read_text() else 'never'


class PlacementTest(CloudTest):
    """All pCPUs are dedicated."""

    variant = DEDICATED

    def test_at_once(self):
        """Six servers at once: disjoint pins as long as there are any, and
        "No valid host" for the rest.
        """
        flavor = self.pinned(
            kvm__cpu_locality='l3', kvm__cpu_locality_policy='strict'
        )
        servers = [self.create(flavor) for _ in range(6)]
        settled = [self.settled(server) for server in servers]
        room = min(6, os.cpu_count())
        active = [each for each in settled if each.status == 'ACTIVE']
        self.assertEqual(room, len(active), [self.why(s) for s in settled])
        held = self.assert_disjoint()
        self.assertEqual({each.id for each in active}, set(held))
        for server in active:
            self.clean(server)
        for server in settled:
            if server.status == 'ERROR':
                # The second is for who has lost the race for the last pCPU
                self.assertRegex(
                    self.why(server),
                    'No valid host|Exceeded maximum number of retries',
                )

    def test_strict_promises(self):
        """What this host cannot keep is refused, and says why."""
        for words, network, specs in (
            ('vhost', NETWORK, {'kvm__vif_backend': 'vhost'}),
            ('No valid host', None, {'hw__mem_page_size': '1GB'}),
            (
                'kvm:iothreads',
                None,
                {
                    'swap': 16,
                    'kvm__iothreads': '1',
                    'kvm__disk_iothread_map': 'dedicated',
                },
            ),
            ('huge', None, {'kvm__transparent_huge_pages': other_mode()}),
        ):
            with self.subTest(specs=specs):
                flavor = self.pinned(**specs)
                told = self.refused(flavor, network=network)
                self.assertIn(words, told, specs)
        self.assertEqual({}, self.pins())

    def test_preferences(self):
        """What a host only prefers refuses nobody."""
        server = self.boot(self.pinned(kvm__profile='latency'))
        self.audit(server)
