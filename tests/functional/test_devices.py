"""NICs, iothreads and caches of real guests: tuned, started and audited."""

import json
import os

from tests.functional.test_commands import GuestTest

try:
    from pyroute2 import IPRoute, NetlinkError
except ImportError:
    IPRoute = None

DEDICATED = {'hw:cpu_policy': 'dedicated'}


class DevicesTest(GuestTest):
    def ask(self, **specs):
        """Let the flavor ask for ``specs``."""
        with open(self.flavor) as file:
            document = json.load(file)
        document['properties'] = specs
        self.write('flavor.json', json.dumps(document))

    def tune(self, guest, status=0):
        return self.guest(
            'tune', guest.name, '--flavor', self.flavor, status=status
        )

    def refused(self, guest, *words, **specs):
        self.ask(**specs)
        done = self.tune(guest, status=1)
        for word in words:
            self.assertIn(word, done.stderr)

    def link(self):
        """Make a pair of NICs; return the name of the first."""
        if IPRoute is None:
            self.skipTest('pyroute2 is not installed')
        name = f'kt{os.urandom(4).hex()}'
        try:
            with IPRoute() as route:
                route.link('add', ifname=name, kind='veth', peer=f'{name}p')
                self.addCleanup(self.unlink, name)
                (index,) = route.link_lookup(ifname=name)
                route.link('set', index=index, state='up')
        except NetlinkError as error:
            self.skipTest(f'no NIC can be made here: {error}')
        return name

    def unlink(self, name):
        with IPRoute() as route:
            for index in route.link_lookup(ifname=name):
                route.link('del', index=index)

    def direct(self, name):
        """Return the edit that puts the guest's NIC on ``name``."""
        return lambda xml: xml.replace(
            "<interface type='ethernet'>",
            f"<interface type='direct'><source dev='{name}' mode='vepa'/>",
        )

    def modes(self, lower):
        """Return the modes of the macvtaps on a NIC, as the kernel has them,
        by name.
        """
        with IPRoute() as route:
            (below,) = route.link_lookup(ifname=lower)
            found = {}
            for link in route.get_links():
                info = link.get_attr('IFLA_LINKINFO')
                if (
                    link.get_attr('IFLA_LINK') == below
                    and info is not None
                    and info.get_attr('IFLA_INFO_KIND') == 'macvtap'
                ):
                    data = info.get_attr('IFLA_INFO_DATA')
                    found[link.get_attr('IFLA_IFNAME')] = data.get_attr(
                        'IFLA_MACVTAP_MODE'
                    )
            return found


class MacvtapTest(DevicesTest):
    def test_a_mode_is_made_audited_and_found_changed(self):
        lower = self.link()
        guest = self.make(self.direct(lower))
        self.ask(
            **{
                'kvm:macvtap_mode': 'private',
                'kvm:vif_rx_ring': '512',
                'kvm:transparent_huge_pages': 'madvise',
                'kvm:guest_tuning': 'true',
            }
        )
        codes = {
            each['code']
            for each in self.tune(guest).document['plan']['consequences']
        }
        self.assertLessEqual({'host-unreachable', 'not-migratable'}, codes)
        self.start(guest)
        self.assertEqual(['private'], list(self.modes(lower).values()))
        guest.wait_until_ready()
        # What only the guest knows is unknown, and nothing else.
        self.assertEqual(
            {'guest'},
            {address.partition('/')[0] for address in self.audit(guest.name)},
        )
        (tap,) = self.modes(lower)
        with IPRoute() as route:
            (index,) = route.link_lookup(ifname=tap)
            route.link(
                'set', index=index, kind='macvtap', macvtap_mode='bridge'
            )
        broken = self.audit(guest.name, status=1)
        (address,) = [each for each in broken if each.endswith('@mode')]
        self.assertEqual('bridge', broken[address])

    def test_passthrough_is_for_one_guest(self):
        lower = self.link()
        first = self.make(self.direct(lower))
        second = self.make(self.direct(lower))
        self.ask(**{'kvm:macvtap_mode': 'passthrough'})
        self.tune(first)
        done = self.tune(second, status=1)
        self.assertIn(f'another guest has {lower} to itself', done.stderr)
        self.start(first)
        self.assertEqual(['passthru'], list(self.modes(lower).values()))
        listed = self.guest('list').document
        (row,) = [each for each in listed if each['guest'] == first.name]
        self.assertEqual(f'nic/{lower}', row['devices'])

    def test_one_that_was_made_by_hand_counts(self):
        lower = self.link()
        by_hand = self.make(
            lambda xml: self.direct(lower)(xml).replace('vepa', 'passthrough')
        )
        guest = self.make(self.direct(lower))
        self.refused(
            guest, 'Exhausted', lower, **{'kvm:macvtap_mode': 'passthrough'}
        )
        by_hand.domain.create()
        self.tune(guest, status=1)


class CpuAndDiskTest(DevicesTest):
    def test_caches_and_iothreads(self):
        def with_model(xml):
            return xml.replace(
                '<on_reboot>',
                "<cpu mode='custom' match='exact'><model>qemu64</model></cpu>"
                '<on_reboot>',
            )

        guest = self.make(with_model)
        self.ask(
            **{
                **DEDICATED,
                'kvm:cache_topology': 'emulate',
                'kvm:iothreads': '2',
                'kvm:disk_iothread_map': 'dedicated',
                'kvm:iothread_cpus': 'housekeeping',
                'kvm:disk_queues': '1',
            }
        )
        self.tune(guest)
        self.start(guest)
        guest.wait_until_ready()
        self.assertEqual({}, self.audit(guest.name))

    def test_queues_over_iothreads(self):
        if self.libvirt.connection.getLibVersion() < 10_000_000:
            self.skipTest('libvirt before 10.0 has no map of queues')
        guest = self.make()
        self.ask(
            **{
                'kvm:iothreads': '2',
                'kvm:disk_iothread_map': 'spread',
                'kvm:disk_queues': '2',
            }
        )
        self.tune(guest)
        self.start(guest)
        guest.wait_until_ready()
        self.assertEqual({}, self.audit(guest.name))


class RefusedTest(DevicesTest):
    """What this machine lacks is named."""

    def test_what_libvirt_or_the_host_does_not_have(self):
        guest = self.make()
        version = self.libvirt.connection.getLibVersion()
        if version < 10_000_000:
            self.refused(
                guest,
                'Unsupported',
                'libvirt 10.0',
                **{'kvm:iothreads': '2', 'kvm:disk_iothread_map': 'spread'},
            )
        # The domain is emulated: libvirt would drop vhost without a word.
        self.refused(guest, 'vhost', **{'kvm:vif_backend': 'vhost'})
        self.refused(guest, 'vhost', **{'kvm:vhost_cpus': 'housekeeping'})
        self.refused(guest, 'tx', **{'kvm:vif_tx_ring': '512'})
        self.refused(
            guest,
            'host-passthrough',
            **{**DEDICATED, 'kvm:cache_topology': 'passthrough'},
        )
        self.refused(guest, 'direct', **{'kvm:macvtap_mode': 'bridge'})
        self.refused(guest, 'kvm:vfs', **{'kvm:vfs': '64'})
        self.refused(
            guest,
            'is not configured',
            **{'pci_passthrough:alias': 'gpu:1'},
        )


class StartedByVirshTest(DevicesTest):
    """Threads are placed for guests that this program did not start."""

    def test_reconcile(self):
        guest = self.make()
        self.ask(**{'kvm:page_sharing': 'false'})
        self.tune(guest)
        guest.domain.create()
        done = self.guest('reconcile', guest.name)
        self.assertEqual([], done.document['steps'])
