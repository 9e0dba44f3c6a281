"""The four modes of macvtap, on a port of the host."""

import json

from tests.lab import ports
from tests.lab.base import GuestTest


class MacvtapTest(GuestTest):
    def setUp(self):
        super().setUp()
        self.port = ports.interface(ports.PORTS[0])
        self.shell(f'ip link set {self.port} up')

    def direct(self, xml):
        """A NIC on the port, of a mode that no test asks for."""
        nic = "<interface type='ethernet'>"
        self.assertIn(nic, xml)
        return xml.replace(
            nic,
            "<interface type='direct'>"
            f"<source dev='{self.port}' mode='vepa'/>",
        )

    def taps(self):
        """Return the modes of the macvtap devices on the port."""
        return [
            each['linkinfo']['info_data']['mode']
            for each in json.loads(
                self.shell('ip -j -d link show type macvtap') or '[]'
            )
            if each and each['link'] == self.port
        ]

    def _in_mode(self, mode, kernel_word):
        guest = self.make(self.direct)
        flavor = self.flavor(**{'kvm__macvtap_mode': mode})
        self.guest('tune', guest.name, '--flavor', flavor)
        self.start(guest, wait=False)
        self.assertEqual([kernel_word], self.taps())
        self.assertEqual({}, self.audit(guest))
        return flavor

    def test_bridge(self):
        self._in_mode('bridge', 'bridge')

    def test_vepa(self):
        self._in_mode('vepa', 'vepa')

    def test_private(self):
        self._in_mode('private', 'private')

    def test_passthrough_is_for_one_guest(self):
        flavor = self._in_mode('passthrough', 'passthru')
        other = self.make(self.direct)
        refused = self.guest('tune', other.name, '--flavor', flavor, status=1)
        self.assertIn('Exhausted: ', refused.stderr)
        self.assertIn(self.port, refused.stderr)
