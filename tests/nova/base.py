"""A Nova of one process whose compute services have our driver."""

import re
from unittest import SkipTest

import fixtures

try:
    import nova.tests.functional  # noqa: F401  its monkey patching comes first
except ImportError as exc:
    if exc.name != 'nova':
        raise
    raise SkipTest('needs Nova') from exc

from nova import context, objects  # noqa: F401
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base

from kvm_tuning import bootstrap
from kvm_tuning.adapters.nova.compute import claims, overlaps, pins
from kvm_tuning.core import domain
from kvm_tuning.core.site import Capabilities, Probe
from tests.fixtures.fake_host import FakeHost
from tests.nova.domains import WholeDomains

#: 12 CPUs, three L3 domains of two cores with two threads.
HOST = FakeHost(
    cells=1, l3_per_cell=3, cores=2, threads=2, numbering='adjacent'
)
HOST_INFO = {
    'cpu_nodes': 1,
    'cpu_sockets': 1,
    'cpu_cores': 6,
    'cpu_threads': 2,
}
L3 = ({0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11})

WORKS = Probe(True, 'it worked')


class FakeReaders:
    """What the driver reads of its host."""

    def __init__(self):
        self.host = HOST
        self.works = Capabilities(
            kvm=WORKS, vhost_net=WORKS, io_uring=WORKS, tap_queues=256
        )

    def inventory(self):
        return self.host.inventory()

    def functions(self):
        return self.host.inventory().devices

    def capabilities(self, libvirt, qemu):
        return self.works


class ServersTest(base.ServersTestBase):
    """The tests' base; ``compute`` is started by :meth:`start`."""

    microversion = 'latest'
    ADMIN_API = True
    ADDITIONAL_FILTERS = ['NUMATopologyFilter']

    def setUp(self):
        bootstrap.install()
        self.addCleanup(claims.uninstall)
        self.addCleanup(overlaps.uninstall)
        self.addCleanup(pins.uninstall)
        super().setUp()
        self.readers = FakeReaders()
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.compute.host.ThisHost',
                lambda: self.readers,
            )
        )
        self.domains = self.useFixture(WholeDomains())
        self.flags(cpu_dedicated_set='2-11', group='compute')
        self.flags(cpu_shared_set='0-1', group='compute')
        self.flags(virt_type='kvm', group='libvirt')

    def _setup_compute_service(self):
        self.flags(compute_driver='kvm_tuning.KvmTuningDriver')

    def start(self, hostname='compute1', **kwargs):
        kwargs.setdefault('host_info', fakelibvirt.HostInfo(**HOST_INFO))
        return self.start_compute(hostname=hostname, **kwargs)

    def flavor(self, vcpus=4, **specs):
        """Make a flavor; ``kvm__x=1`` stands for ``kvm:x=1``."""
        return self._create_flavor(
            vcpu=vcpus,
            extra_spec={
                key.replace('__', ':'): text for key, text in specs.items()
            },
        )

    def boot(self, vcpus=4, expected_state='ACTIVE', **specs):
        return self._create_server(
            flavor_id=self.flavor(vcpus, **specs),
            networks='none',
            expected_state=expected_state,
        )

    def host(self, server):
        return self.api.get_server(server['id'])['OS-EXT-SRV-ATTR:host']

    def connection(self, hostname='compute1'):
        return self.computes[hostname].driver._host.get_connection()

    def xml(self, server, hostname='compute1'):
        """Return the XML of a server's domain."""
        found = self.connection(hostname).lookupByUUIDString(server['id'])
        return found.XMLDesc(0)

    def settled(self, server, hostname='compute1'):
        """Return the XML without the time at which Nova wrote it."""
        return re.sub(
            '<nova:creationTime>.*?<', '<', self.xml(server, hostname)
        )

    def domain(self, server, hostname='compute1'):
        return domain.read(self.xml(server, hostname))

    def pins(self, server, hostname='compute1'):
        """Return the pCPUs of a server's vCPUs."""
        guest = self.domain(server, hostname).current
        return set().union(*guest.pins.values())
