"""Servers of sample flavors, in a cloud of plain data."""

from types import SimpleNamespace

import testtools

from kvm_tuning.adapters.smoke import Sizes, Smoke
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import CloudFailed

FLAVOR = Flavor('latency', 'latency', 4, 8192, 20)


class Compute:
    """Nova. A server is settled at the second look."""

    def __init__(self, status='ACTIVE', refuses=False):
        self.status = status
        self.refuses = refuses
        self.flavors = {}
        self.servers = {}

    def create_flavor(self, name, **sizes):
        made = SimpleNamespace(id=name, name=name, sizes=sizes, specs={})
        self.flavors[name] = made
        return made

    def create_flavor_extra_specs(self, flavor, specs):
        if self.refuses:
            raise ValueError('HTTP 400: kvm:iothread')
        flavor.specs.update(specs)

    def delete_flavor(self, flavor):
        del self.flavors[flavor.id]

    def create_server(self, **asked):
        server = SimpleNamespace(
            id='uuid', status='BUILD', fault=None, compute_host=None, **asked
        )
        self.servers[server.id] = server
        return server

    def get_server(self, uuid):
        server = self.servers[uuid]
        server.status, server.compute_host = self.status, 'node1'
        if self.status == 'ERROR':
            server.fault = {'message': 'Exceeded maximum number of retries.'}
        return server

    def server_actions(self, uuid):
        return [SimpleNamespace(request_id='req')]

    def get_server_action(self, request, server):
        events = [
            {'result': 'Success', 'details': None},
            {'result': 'Error', 'details': 'Unsupported: no vhost here'},
        ]
        return SimpleNamespace(events=events)

    def delete_server(self, uuid, ignore_missing):
        del self.servers[uuid]

    def wait_for_delete(self, server, interval, wait):
        assert server.id not in self.servers


class SmokeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.now = 0.0

    def _smoke(self, compute, network=None):
        def find(name):
            return None if name == 'missing' else SimpleNamespace(id=name)

        def sleep(seconds):
            self.now += seconds

        return Smoke(
            SimpleNamespace(
                compute=compute,
                image=SimpleNamespace(find_image=find),
                network=SimpleNamespace(find_network=find),
            ),
            'cirros',
            network,
            clock=lambda: self.now,
            sleep=sleep,
        )

    def test_a_server_for_the_time_of_a_with(self):
        compute = Compute()
        smoke = self._smoke(compute, 'private')
        sizes = Sizes(vcpus=2, ram=512)
        with smoke.boot(FLAVOR, {'kvm:iothreads': '1'}, sizes, 60) as booted:
            (flavor,) = compute.flavors.values()
            self.assertEqual(
                {'vcpus': 2, 'ram': 512, 'disk': 20}, flavor.sizes
            )
            self.assertEqual({'kvm:iothreads': '1'}, flavor.specs)
            (server,) = compute.servers.values()
            self.assertEqual([{'uuid': 'private'}], server.networks)
            self.assertEqual(
                ('ACTIVE', 1.0, 'node1', ''),
                (booted.status, booted.seconds, booted.host, booted.why),
            )
        self.assertEqual(({}, {}), (compute.flavors, compute.servers))

    def test_why_there_is_none(self):
        compute = Compute('ERROR')
        with self._smoke(compute).boot(FLAVOR, {}, Sizes(), 60) as booted:
            self.assertEqual('ERROR', booted.status)
            self.assertEqual(
                'Exceeded maximum number of retries.; '
                'Unsupported: no vhost here',
                booted.why,
            )
        self.assertEqual(({}, {}), (compute.flavors, compute.servers))

    def test_deadline(self):
        compute = Compute('BUILD')
        with self._smoke(compute).boot(FLAVOR, {}, Sizes(), 5) as booted:
            self.assertEqual(('BUILD', 5.0), (booted.status, booted.seconds))
        self.assertEqual({}, compute.servers)

    def test_refused_flavor(self):
        compute = Compute(refuses=True)
        boot = self._smoke(compute).boot(FLAVOR, {'x': 'y'}, Sizes(), 5)
        error = self.assertRaises(CloudFailed, boot.__enter__)
        self.assertEqual('flavor latency: HTTP 400: kvm:iothread', str(error))
        self.assertEqual({}, compute.flavors)

    def test_missing_image(self):
        error = self.assertRaises(
            CloudFailed, self._smoke, Compute(), network='missing'
        )
        self.assertEqual("the cloud has no network 'missing'", str(error))
