"""What Nova's API says of a server, and what it is then asked to do."""

import testtools

from kvm_tuning.adapters.vendordata import servers
from kvm_tuning.core import guest_boot
from kvm_tuning.core.exceptions import CloudFailed, RequestError
from kvm_tuning.hooks.guest_tuning import ANY_CHANNELS

MAC = 'fa:16:3e:00:00:01'


def server(specs, image='1', vcpus=4, **more):
    """Return a server as GET /servers/ID prints it from 2.47 on."""
    return {
        'id': '6c5ed1bd-a3f8-4a4e-b8c5-a1b2c3d4e5f6',
        'image': {'id': image} if image else '',
        'flavor': {
            'original_name': 'perf',
            'vcpus': vcpus,
            'ram': 1024,
            'disk': 1,
            'ephemeral': 0,
            'swap': 0,
            'extra_specs': specs,
        },
        'addresses': {
            'net': [
                {'addr': '10.0.0.5', 'version': 4,
                 'OS-EXT-IPS-MAC:mac_addr': MAC.upper()},
                {'addr': 'fe80::1', 'version': 6,
                 'OS-EXT-IPS-MAC:mac_addr': MAC},
            ]
        },
        **more,
    }  # fmt: skip


class Response:
    def __init__(self, status, document):
        self.status_code = status
        self.document = document

    def json(self):
        if self.document is None:
            raise ValueError('no JSON')
        return self.document


class Service:
    """An adapter of openstacksdk: answers by path, and keeps the calls."""

    def __init__(self, answers):
        self.answers = answers
        self.calls = []

    def get(self, path, **options):
        self.calls.append((path, options))
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return Response(*answer)


class Connection:
    def __init__(self, compute, image=None):
        self.compute = Service(compute)
        self.image = Service(image or {})


class OfTest(testtools.TestCase):
    def of(self, specs, properties=None, **more):
        found = servers.of(server(specs, **more), lambda _id: properties or {})
        return {each.name: each.value for each in found}

    def test_what_the_flavor_asks(self):
        found = self.of({'kvm:guest_tuning': 'true', 'kvm:vif_queues': '3'})
        self.assertEqual(
            {
                f'nic-channels/{MAC}': '3',
                'disk-scheduler/vda': 'none',
                'transparent-huge-pages': 'madvise',
                'irqbalance': 'on',
            },
            found,
        )

    def test_queues_as_nova_gives_them(self):
        specs = {
            'kvm:guest_tuning': 'true',
            'hw:vif_multiqueue_enabled': 'true',
        }
        self.assertEqual('4', self.of(specs)[f'nic-channels/{MAC}'])
        self.assertEqual('2', self.of(specs, vcpus=2)[f'nic-channels/{MAC}'])
        properties = {'hw_vif_multiqueue_enabled': 'true'}
        specs = {'kvm:guest_tuning': 'true'}
        self.assertEqual(
            '4', self.of(specs, properties)[f'nic-channels/{MAC}']
        )
        self.assertEqual('1', self.of(specs)[f'nic-channels/{MAC}'])

    def test_devices_as_the_image_has_them(self):
        found = self.of(
            {'kvm:guest_tuning': 'true'},
            {'hw_disk_bus': 'scsi', 'hw_vif_model': 'e1000'},
        )
        self.assertIn('disk-scheduler/sda', found)
        self.assertFalse([name for name in found if 'nic' in name])

    def test_while_nova_builds_it(self):
        specs = {'kvm:guest_tuning': 'true', 'kvm:vif_queues': '3'}
        found = servers.of(server(specs) | {'addresses': {}}, lambda _id: {})
        self.assertIn(ANY_CHANNELS, found)
        script = guest_boot.vendordata(found)
        self.assertIn("told=''", script)
        self.assertIn('queues "${nic##*/}"', script)
        windows = servers.of(
            server(specs) | {'addresses': {}},
            lambda _id: {'os_type': 'windows'},
        )
        self.assertEqual([], windows)

    def test_windows(self):
        self.assertEqual(
            {}, self.of({'kvm:guest_tuning': 'true'}, {'os_type': 'windows'})
        )

    def test_not_asked_for(self):
        self.assertEqual({}, self.of({'kvm:vif_queues': '2'}))
        self.assertEqual({}, self.of({'kvm:guest_tuning': 'false'}))

    def test_booted_from_a_volume(self):
        self.assertIn(
            'irqbalance', self.of({'kvm:guest_tuning': 'true'}, image=None)
        )

    def test_a_profile_of_a_host_is_not_asked_for(self):
        specs = {'kvm:guest_tuning': 'true', 'kvm:profile': 'site-own'}
        self.assertIn('irqbalance', self.of(specs))

    def test_a_flavor_that_makes_no_sense(self):
        self.assertRaises(
            RequestError,
            self.of,
            {'kvm:guest_tuning': 'true', 'kvm:vif_queues': 'many'},
        )


class SettingsTest(testtools.TestCase):
    def test_two_calls_bounded_in_time(self):
        connection = Connection(
            {'/servers/x': (200, {'server': server(
                {'kvm:guest_tuning': 'true'})})},
            {'/images/1': (200, {'os_type': 'windows', 'size': 7})},
        )  # fmt: skip
        self.assertEqual([], servers.settings(connection, 'x', 1.5))
        calls = connection.compute.calls + connection.image.calls
        self.assertEqual(['/servers/x', '/images/1'], [c[0] for c in calls])
        for _path, options in calls:
            self.assertEqual(1.5, options['timeout'])
            self.assertEqual(0, options['connect_retries'])
        self.assertEqual('2.47', calls[0][1]['microversion'])

    def test_no_such_server(self):
        connection = Connection({'/servers/x': (404, {})})
        self.assertIsNone(servers.settings(connection, 'x', 1))

    def test_an_image_that_was_deleted(self):
        connection = Connection(
            {'/servers/x': (200, {'server': server(
                {'kvm:guest_tuning': 'true'})})},
            {'/images/1': (404, {})},
        )  # fmt: skip
        self.assertTrue(servers.settings(connection, 'x', 1))

    def test_an_api_that_does_not_answer(self):
        for answer in ((503, {}), (200, None), OSError('timed out')):
            connection = Connection({'/servers/x': answer})
            self.assertRaises(
                CloudFailed, servers.settings, connection, 'x', 1
            )
