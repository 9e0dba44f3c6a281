"""What serves a NIC, by arguments and descriptors of the process."""

import os
from types import SimpleNamespace

import fixtures
from lxml import etree
import testtools

from kvm_tuning.core.observed import Arguments, Unknown
from kvm_tuning.host.guests import nics, virtual_functions
from kvm_tuning.host.guests.process import Guest

MAC = '52:54:00:00:00:0a'
HIDDEN = Unknown('hidden')


class NicsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def one(self, kind='bridge', target='tap0', links=(), netdev=(), **more):
        """Return the NIC of a guest; ``links`` are its descriptors."""
        arguments = more.get('arguments') or Arguments(
            (
                (
                    'device',
                    {
                        'driver': 'virtio-net-pci', 'id': 'net0',
                        'netdev': 'hostnet0', **more.get('device', {}),
                    },
                ),
                ('netdev', {'id': 'hostnet0', **dict(netdev)}),
            )
        )  # fmt: skip
        guest = Guest(
            SimpleNamespace(root=more.get('root', self.root), pid=1),
            arguments,
            links if isinstance(links, Unknown) else dict(enumerate(links)),
        )
        dev = f"<target dev='{target}'/>" if target else ''
        xml = (
            f"<domain><devices><interface type='{kind}'>"
            f"<mac address='{MAC}'/>{dev}<alias name='net0'/>"
            '</interface></devices></domain>'
        )
        return nics.nics(guest, etree.fromstring(xml))[MAC]

    def interface(self, name, **files):
        folder = os.path.join(self.root, 'sys/class/net', name)
        os.makedirs(folder)
        for file, text in files.items():
            with open(os.path.join(folder, file), 'w') as stream:
                stream.write(text)

    def why(self, found):
        self.assertIsInstance(found, Unknown)
        return found.why

    def test_what_has_nothing_on_the_host(self):
        for kind in ('user', 'vhostuser', 'hostdev', 'vdpa', 'null'):
            found = self.one(kind)
            self.assertEqual(
                f'an interface of type {kind} has none on the host',
                self.why(found.host),
            )
        self.assertEqual('tap0', self.one('bridge').host)
        self.why(self.one(target='').host)

    def test_what_is_not_a_macvtap(self):
        for kind, target in (('bridge', 'tap0'), ('direct', '')):
            found = self.one(kind, target)
            words = f'an interface of type {kind} is not a macvtap'
            self.assertEqual(words, self.why(found.mode))
            self.assertEqual(words, self.why(found.lower))

    def test_the_kernel_of_another_machine(self):
        found = self.one('direct', 'macvtap0')
        self.assertIn('another machine', self.why(found.mode))

    def test_the_mode_of_a_macvtap(self):
        answers = {'good': 'bridge', 'other': None}

        def mode(name):
            if name not in answers:
                raise OSError(19, 'No such device')
            return answers[name]

        self.useFixture(
            fixtures.MonkeyPatch(
                f'{virtual_functions.__name__}.macvtap_mode', mode
            )
        )
        self.assertEqual('bridge', self.one('direct', 'good', root='/').mode)
        for name, words in (
            ('other', 'other is not a macvtap'),
            ('gone0', 'gone0: No such device'),
        ):
            found = self.one('direct', name, root='/')
            self.assertEqual(words, self.why(found.mode))

    def test_the_device_below_a_macvtap(self):
        self.assertEqual(
            'macvtap0: No such file or directory',
            self.why(self.one('direct', 'macvtap0').lower),
        )
        self.interface('macvtap0', ifindex='7')
        self.assertIn(
            'has no lower device',
            self.why(self.one('direct', 'macvtap0').lower),
        )
        self.interface('macvtap1', ifindex='8', lower_eth3='')
        self.assertEqual('eth3', self.one('direct', 'macvtap1').lower)

    def test_queues_of_a_macvtap(self):
        self.interface('macvtap0', ifindex='7\n')
        links = ('/dev/tap7', '/dev/tap7', '/dev/tap8', '/dev/vhost-net')
        found = self.one('direct', 'macvtap0', links)
        self.assertEqual(2, found.queues)
        self.assertEqual(HIDDEN, self.one('direct', 'macvtap0', HIDDEN).queues)
        # Without its index, none of them is known to be its own
        self.assertEqual(0, self.one('direct', 'gone', links).queues)

    def test_queues_without_a_device(self):
        self.assertEqual(1, self.one('user').queues)
        self.assertEqual(
            4, self.one('vhostuser', netdev={'queues': '4'}).queues
        )
        hidden = self.one('vhostuser', arguments=HIDDEN)
        self.assertEqual(HIDDEN, hidden.queues)

    def test_vhost(self):
        links = ('/dev/vhost-net', '/dev/vhost-net', '/dev/null')
        for netdev, found in (
            ({'vhostfds': '0:1', 'vhost': True}, 2),
            ({'vhostfd': '1', 'vhost': True}, 1),
            ({'vhostfd': '2', 'vhost': True}, 0),
            ({}, 0),
        ):
            self.assertEqual(found, self.one(links=links, netdev=netdev).vhost)
        self.assertEqual(0, self.one(links=('/dev/null',)).vhost)
        self.assertEqual(HIDDEN, self.one(links=HIDDEN).vhost)
        self.assertEqual(HIDDEN, self.one(links=links, arguments=HIDDEN).vhost)
        self.assertIn(
            'is not known',
            self.why(self.one(links=links, netdev={'vhost': 'on'}).vhost),
        )

    def test_rings(self):
        found = self.one(device={'rx_queue_size': '512'})
        self.assertEqual((512, 256), (found.rx_ring, found.tx_ring))
        other = self.one(device={'driver': 'e1000'})
        for ring in (other.rx_ring, other.tx_ring):
            self.assertIn('the ring size of e1000', self.why(ring))
