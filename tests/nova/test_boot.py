"""Guests that are started: what their XML has, and what their faults say."""

import os

import nova.conf
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client
from nova.virt.libvirt import driver as stock
from testtools import matchers

from kvm_tuning.adapters.nova.compute import events
from tests.nova import base

CONF = nova.conf.CONF

PINNED = {'hw__cpu_policy': 'dedicated'}


class EventsTest(base.ServersTest):
    def refusals(self, server, name='create'):
        """Return an action on a server, and our events of it."""
        (action,) = (
            a
            for a in self.api.get_instance_actions(server['id'])
            if a['action'] == name
        )
        path = f'/servers/{server["id"]}/os-instance-actions/'
        found = self.api.api_get(path + action['request_id']).body
        action = found['instanceAction']
        ours = [e for e in action['events'] if e['event'] == events.NAME]
        return action, ours


class TwoHostsTest(EventsTest):
    def setUp(self):
        self.useFixture(
            nova_fixtures.HostNameWeigherFixture({'one': 100, 'two': 50})
        )
        super().setUp()

    def start_without_vhost(self, hostname):
        works = self.readers.works
        self.readers.works = base.Capabilities(
            vhost_net=base.Probe(False, f'{hostname} has no /dev/vhost-net')
        )
        self.start(hostname)
        self.readers.works = works

    def test_the_next_host_takes_it(self):
        self.start_without_vhost('one')
        self.start('two')
        server = self.boot(vcpus=2, kvm__vif_backend='vhost')
        self.assertEqual('two', self.host(server))
        action, (told,) = self.refusals(server)
        # As where stock Nova goes on to the next host
        self.assertIsNone(action['message'])
        self.assertIn('one has no /dev/vhost-net', told['details'])

    def test_each_host_tells_its_reason(self):
        self.start_without_vhost('one')
        self.start_without_vhost('two')
        server = self.boot(
            vcpus=2, expected_state='ERROR', kvm__vif_backend='vhost'
        )
        _, told = self.refusals(server)
        self.assertEqual(2, len(told))
        for hostname, event in zip(('one', 'two'), told[::-1], strict=True):
            self.assertIn(f'{hostname} has no', event['details'])
            self.assertIsNotNone(event['finish_time'])


class BootTest(base.ServersTest):
    def setUp(self):
        super().setUp()
        self.start()

    def test_what_is_asked_is_in_the_xml(self):
        server = self.boot(
            kvm__iothreads='2',
            kvm__disk_queues='auto',
            kvm__page_sharing='false',
            kvm__emulator_cpus='housekeeping',
            **PINNED,
        )
        found = self.domain(server)
        guest = found.current
        self.assertEqual(2, guest.iothreads)
        self.assertEqual({0, 1}, guest.emulator_pin)
        disks = guest.data_disks
        self.assertEqual(['4', '4'], [d.driver['queues'] for d in disks])
        self.assertEqual(['1', '2'], [d.driver['iothread'] for d in disks])
        self.assertIsNotNone(found.root.find('memoryBacking/nosharepages'))
        self.assertEqual(guest.pins.keys(), set(range(4)))
        self.assertEqual(
            frozenset().union(*guest.pins.values()), found.receipt.claim.pcpus
        )

    def test_the_guest_is_on_one_l3_domain(self):
        for _number in range(2):
            pins = self.pins(self.boot(kvm__cpu_locality='l3', **PINNED))
            self.assertTrue(any(pins <= l3 for l3 in base.L3), pins)

    def test_what_needs_the_cpu_mode_of_the_host(self):
        self.flags(cpu_mode='host-passthrough', group='libvirt')
        server = self.boot(kvm__cache_topology='passthrough', **PINNED)
        cache = self.domain(server).root.find('cpu/cache')
        self.assertEqual('passthrough', cache.get('mode'))

    def test_a_pcpu_of_the_emulators_own(self):
        server = self.boot(
            hw__emulator_threads_policy='isolate',
            kvm__profile='latency',
            kvm__iothreads='2',
            **PINNED,
        )
        found = self.domain(server)
        pins = self.pins(server)
        (alone,) = found.current.emulator_pin
        self.assertNotIn(alone, pins)
        self.assertIn(
            'kvm:emulator_cpus', [u.knob for u in found.receipt.unkept]
        )

    def test_a_preference_refuses_no_guest(self):
        server = self.boot(vcpus=2, kvm__profile='throughput')
        self.assertEqual('ACTIVE', server['status'])

    def test_strict_locality_that_is_taken_is_no_host(self):
        specs = {
            'kvm__cpu_locality': 'l3',
            'kvm__cpu_locality_policy': 'strict',
            **PINNED,
        }
        for _number in range(2):
            self.boot(**specs)
        server = self.boot(expected_state='ERROR', **specs)
        self.assertIn('No valid host', server['fault']['message'])
        # It would have fitted without the promise: 2 pCPUs are left.
        self.boot(vcpus=2, **PINNED)

    def test_a_hard_reboot_writes_the_same(self):
        server = self.boot(kvm__iothreads='2', **PINNED)
        facts = self.domain(server).current
        self._reboot_server(server, hard=True)
        # Nova writes down some defaults when a guest has started.
        self.assertEqual(facts, self.domain(server).current)
        before = self.settled(server)
        self._reboot_server(server, hard=True)
        self.assertEqual(before, self.settled(server))

    def test_rescue_and_unrescue(self):
        server = self.boot(kvm__iothreads='2', **PINNED)
        pins = self.pins(server)
        os.makedirs(os.path.join(CONF.instances_path, server['id']))
        self.api.post_server_action(server['id'], {'rescue': {}})
        self._wait_for_state_change(server, 'RESCUE')
        guest = self.domain(server).current
        self.assertEqual(2, guest.iothreads)
        self.assertEqual(
            ['1', '2'], [d.driver['iothread'] for d in guest.data_disks]
        )
        self.assertEqual(pins, self.pins(server))
        self.api.post_server_action(server['id'], {'unrescue': None})
        self._wait_for_state_change(server, 'ACTIVE')

    def test_shelve_and_unshelve(self):
        server = self.boot(kvm__cpu_locality='l3', **PINNED)
        self._shelve_server(server)
        self._unshelve_server(server)
        pins = self.pins(server)
        self.assertTrue(any(pins <= l3 for l3 in base.L3), pins)

    def test_the_host_may_have_changed_its_mind(self):
        """A restart of nova-compute reads everything again."""
        server = self.boot(kvm__iothreads='2', **PINNED)
        self._reboot_server(server, hard=True)
        before = self.settled(server)
        self.restart_compute_service('compute1')
        self.assertEqual(before, self.settled(server))
        self._reboot_server(server, hard=True)
        self.assertEqual(before, self.settled(server))

    def test_without_the_extension_the_guests_go_on(self):
        server = self.boot(kvm__iothreads='2', **PINNED)
        before = self.settled(server)
        pins = self.pins(server)
        base.claims.uninstall()
        self.flags(compute_driver='libvirt.LibvirtDriver')
        self.restart_compute_service('compute1')
        self.assertEqual(before, self.settled(server))
        self._reboot_server(server, hard=True)
        guest = self.domain(server).current
        self.assertEqual(1, guest.iothreads)
        self.assertEqual(pins, self.pins(server))
        self._delete_server(server)


class FaultTest(EventsTest):
    def setUp(self):
        super().setUp()
        self.start()

    def fault(self, **specs):
        server = self.boot(vcpus=2, expected_state='ERROR', **specs)
        self.assertEqual([], self.connection().listAllDomains())
        return server['fault']['message']

    def test_a_contradiction_aborts_the_build(self):
        message = self.fault(kvm__disk_io='native', kvm__disk_cache='unsafe')
        self.assertThat(
            message,
            matchers.MatchesAll(
                # No other host is tried.
                matchers.Contains('aborted'),
                matchers.Contains('ConflictingKnobs'),
                matchers.Contains('kvm:disk_io=native'),
                matchers.Contains('needs kvm:disk_cache=none or directsync'),
                matchers.Contains('kvm:disk_cache=unsafe'),
            ),
        )

    def test_an_unknown_key_that_an_old_client_stored(self):
        with self.api_without_validation():
            message = self.fault(kvm__iothread='2')
        self.assertIn('UnknownKnob', message)
        self.assertIn('did you mean kvm:iothreads?', message)

    def lose_vhost(self):
        self.readers.works = base.Capabilities(
            vhost_net=base.Probe(False, '/dev/vhost-net is missing')
        )
        self.computes['compute1'].driver._kvm_tuning.host.refresh()

    def test_a_hard_reboot_that_is_refused_leaves_the_guest(self):
        server = self.boot(vcpus=2, kvm__vif_backend='vhost')
        before = self.settled(server)
        self.lose_vhost()
        self.api.post_server_action(server['id'], {'reboot': {'type': 'HARD'}})
        server = self._wait_for_server_parameter(
            server, {'OS-EXT-STS:task_state': None}
        )
        self.assertEqual('ACTIVE', server['status'])
        self.assertEqual(before, self.settled(server))
        _, (told,) = self.refusals(server, 'reboot')
        self.assertIn('/dev/vhost-net is missing', told['details'])

    def test_a_rebuild_that_is_refused_leaves_the_guest(self):
        server = self.boot(vcpus=2, kvm__vif_backend='vhost')
        before = self.settled(server)
        self.lose_vhost()
        # In one process what is cast answers.
        self.assertRaises(
            client.OpenStackApiException,
            self.api.post_server_action,
            server['id'],
            {'rebuild': {'imageRef': server['image']['id']}},
        )
        server = self._wait_for_server_parameter(
            server, {'OS-EXT-STS:task_state': None}
        )
        self.assertEqual('ACTIVE', server['status'])
        self.assertEqual(before, self.settled(server))
        _, (told,) = self.refusals(server, 'rebuild')
        self.assertIn('/dev/vhost-net is missing', told['details'])

    def test_what_the_host_cannot_do_lets_nova_look_elsewhere(self):
        self.lose_vhost()
        server = self.boot(
            vcpus=2, expected_state='ERROR', kvm__vif_backend='vhost'
        )
        self.assertIn(
            'Exceeded maximum number of retries', server['fault']['message']
        )
        # The reason is in the events: it was not lost with the last host
        _, (told,) = self.refusals(server)
        self.assertEqual('Error', told['result'])
        self.assertIn('/dev/vhost-net is missing', told['details'])

    def test_vfs_that_nova_would_not_assign(self):
        message = self.fault(kvm__vfs='1')
        self.assertIn('pci_passthrough:alias', message)
        self.assertIn('flavor compile', message)

    def test_a_broken_hook_is_named(self):
        def effects(*args):
            raise KeyError('oops')

        self.useFixture(
            base.fixtures.MonkeyPatch(
                'kvm_tuning.hooks.page_sharing.PageSharing.effects', effects
            )
        )
        message = self.fault(kvm__page_sharing='false')
        self.assertIn("HookFailed: hook 'page_sharing' failed", message)

    def api_without_validation(self):
        return base.fixtures.MonkeyPatch(
            'nova.api.openstack.compute.flavors_extraspecs.'
            'FlavorExtraSpecsController._check_extra_specs_value',
            lambda *args, **kwargs: None,
        )


class UntouchedTest(base.ServersTest):
    """Nothing asked: the stock driver's bytes."""

    def boots(self, **specs):
        """Boot with our driver and with Nova's; return both XMLs."""
        found = []
        stock_xml = stock.LibvirtDriver._get_guest_xml

        def record(driver, *args, **kwargs):
            xml = stock_xml(driver, *args, **kwargs)
            found.append(xml)
            return xml

        self.useFixture(
            base.fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver._get_guest_xml',
                record,
            )
        )
        server = self.boot(**specs)
        return found[-1], self.xml(server)

    def test_a_plain_guest(self):
        self.start()
        ours, here = self.boots(vcpus=2)
        self.assertEqual(ours, here)

    def test_a_pinned_guest_with_novas_own_keys(self):
        self.start()
        ours, here = self.boots(
            hw__cpu_thread_policy='prefer',
            hw__emulator_threads_policy='share',
            **PINNED,
        )
        self.assertEqual(ours, here)
        self.assertNotIn('kvm-tuning', here)
