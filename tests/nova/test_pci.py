"""Nova takes the VFs that our fragment lists, by the alias of our flavors."""

from unittest import SkipTest

import fixtures
import testtools

try:
    import nova.conf
except ImportError as exc:
    if exc.name != 'nova':
        raise
    raise SkipTest('needs Nova') from exc

from nova import objects
from nova.pci import request, whitelist

from kvm_tuning import loader
from kvm_tuning.core import compiled
from kvm_tuning.host.prep import fragment
from tests.fixtures.fake_host import FakeHost, FakePf

HOST = FakeHost(
    cells=2,
    pfs=(
        FakePf('eth0', cell=0, vfs=2),
        FakePf('eth1', cell=1, vfs=1),
        FakePf('eth2', cell=1, vfs=1, product='1521', vf_product='1520'),
        FakePf('eth3', cell=1, vfs=1),
    ),
)


class FragmentTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.inventory = HOST.inventory()
        pfs = [d for d in self.inventory.devices if d.kind == 'pf']
        #: The last one is the host's own.
        self.ours, self.other = pfs[:-1], pfs[-1]
        made = fragment.make(
            fragment.Site(
                self.inventory, pfs=tuple(pf.address for pf in self.ours)
            )
        )
        path = self.useFixture(fixtures.TempDir()).join('nova.conf')
        with open(path, 'w') as file:
            file.write(made.text())
        # As nova-compute reads it.
        conf = nova.conf.CONF
        conf([], project='nova', default_config_files=[path])
        # Nova's own tests register options before they parse.
        self.addCleanup(conf.reset)
        # Nova 34 keeps what it has read.
        forget = getattr(request.get_alias_from_config, 'cache_clear', int)
        forget()
        self.addCleanup(forget)
        self.conf = conf

    def dev(self, address):
        """Return a function as Nova's driver tells of it."""
        device = self.inventory.device[address]
        return {
            'vendor_id': device.vendor,
            'product_id': device.product,
            'address': device.address,
            'parent_addr': device.pf,
        }

    def is_pf(self, *parts):
        return self.inventory.device['{}:{}:{}.{}'.format(*parts)].total_vfs

    def test_the_vfs_of_these_pfs_are_taken_and_nothing_else(self):
        # Nova reads in sysfs whether an address is a PF's.
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.pci.utils.is_physical_function', self.is_pf
            )
        )
        taken = whitelist.Whitelist(self.conf.pci.device_spec)
        for pf in self.ours:
            self.assertFalse(taken.device_assignable(self.dev(pf.address)))
            for vf in pf.vfs:
                self.assertTrue(taken.device_assignable(self.dev(vf)), vf)
        for vf in self.other.vfs:
            self.assertFalse(taken.device_assignable(self.dev(vf)), vf)

    def test_a_compiled_flavor_asks_for_any_of_them(self):
        specs = compiled.compile(
            {'kvm:vfs': '2'}, compiled.VF_ALIAS, loader.knobs(loader.load())
        )
        flavor = objects.Flavor(extra_specs=specs)
        (found,) = request.get_pci_requests_from_flavor(flavor).requests
        self.assertEqual(2, found.count)
        self.assertEqual(
            {('8086', '10ca', 'type-VF'), ('8086', '1520', 'type-VF')},
            {
                (s['vendor_id'], s['product_id'], s['dev_type'])
                for s in found.spec
            },
        )
