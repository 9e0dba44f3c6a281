"""A placement that Nova has made is read from the domain."""

import re

from lxml import etree
import testtools

from kvm_tuning import loader
from kvm_tuning.core import domain, given, guest, plan, request
from kvm_tuning.core.demands import MemoryDemand, MemoryMode, Pool, PoolDemand
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.effects import Element, Setting
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.site import Policy, Site
from tests.fixtures.fake_host import FakeHost, FakePf

HOST = FakeHost(cells=2, l3_per_cell=2, cores=2, threads=2)
INVENTORY = HOST.inventory()
SHARED = frozenset({0, 1, 4, 5})
SITE = Site(
    INVENTORY,
    policy=Policy(
        dedicated_cpus=INVENTORY.online - SHARED, shared_cpus=SHARED
    ),
)

PINNED = """\
<domain type='kvm'>
  <name>instance-1</name>
  <uuid>7f3b5a2e-0001-4000-8000-000000000001</uuid>
  <memory>1048576</memory>
  <numatune>
    <memory mode='strict' nodeset='0-1'/>
    <memnode cellid='0' mode='strict' nodeset='1'/>
    <memnode cellid='1' mode='strict' nodeset='0'/>
  </numatune>
  <vcpu>4</vcpu>
  <iothreads>1</iothreads>
  <cputune>
    <vcpupin vcpu='0' cpuset='6'/>
    <vcpupin vcpu='1' cpuset='14'/>
    <vcpupin vcpu='2' cpuset='2'/>
    <vcpupin vcpu='3' cpuset='0-1'/>
    <emulatorpin cpuset='2,6,14'/>
    <iothreadpin iothread='1' cpuset='2,6,14'/>
  </cputune>
  <cpu>
    <numa>
      <cell id='0' cpus='0-1' memory='524288' unit='KiB'/>
      <cell id='1' cpus='2-3' memory='524288' unit='KiB'/>
    </numa>
  </cpu>
  <devices/>
</domain>
"""


def read(xml=PINNED):
    return guest.read(etree.fromstring(xml))


class GivenTest(testtools.TestCase):
    def test_pins_and_cells_are_the_domains(self):
        placement = given.read(read(), [], SITE)
        self.assertEqual({0: 6, 1: 14, 2: 2}, placement.pins)
        self.assertEqual([1, 0], [c.host_cell for c in placement.cells])
        self.assertEqual(frozenset({0, 1}), placement.cells[1].shared)

    def test_a_floating_guest_has_no_pins(self):
        xml = (
            '<domain type="kvm"><vcpu cpuset="0-1">2</vcpu>'
            '<memory>1024</memory><devices/></domain>'
        )
        placement = given.read(read(xml), [], SITE)
        self.assertEqual({}, placement.pins)
        self.assertEqual(frozenset({0, 1}), placement.cells[0].shared)
        self.assertEqual(0, placement.cells[0].memory_kib)

    def test_helper_pools_are_near_the_pins(self):
        pools = [
            PoolDemand('emulator', Pool.NUMA, 'x'),
            PoolDemand('iothread', Pool.GUEST, 'x'),
        ]
        placement = given.read(read(), pools, SITE)
        self.assertEqual(SHARED, placement.pools['emulator'])
        self.assertEqual(
            frozenset({0, 1, 2, 6, 14}), placement.pools['iothread']
        )

    def test_a_promised_pool_that_is_empty_is_refused(self):
        site = Site(
            INVENTORY,
            policy=Policy(
                dedicated_cpus=INVENTORY.online - {8},
                shared_cpus=frozenset({8}),
            ),
        )
        xml = PINNED.replace("cpuset='2'/>", "cpuset='5'/>").replace(
            "cpuset='0-1'/>", "cpuset='7'/>"
        )
        self.assertRaises(
            Unsupported,
            given.read,
            read(xml),
            [PoolDemand('emulator', Pool.L3, 'x')],
            site,
        )

    def test_an_emulator_with_a_pcpu_of_its_own(self):
        placement = given.read(read(), [], SITE, isolated=True)
        self.assertEqual({2, 6, 14}, placement.emulator)
        self.assertEqual(frozenset(), given.read(read(), [], SITE).emulator)

    def test_memory_is_bound_where_the_domain_says(self):
        placement = given.read(read(), [MemoryDemand(MemoryMode.STRICT)], SITE)
        self.assertEqual(frozenset({0, 1}), placement.memory_cells)

    def test_cpus_that_this_host_does_not_show_are_taken_as_they_are(self):
        xml = PINNED.replace("cpuset='14'", "cpuset='900'")
        self.assertEqual(900, given.read(read(xml), [], SITE).pins[1])


HOSTDEV = """\
<hostdev mode='subsystem' type='pci' managed='yes'><source>
<address domain='0x{0}' bus='0x{1}' slot='0x{2}' function='0x{3}'/>
</source></hostdev>"""


class VfTest(testtools.TestCase):
    """Nova has given the guest its VFs."""

    def settings(self, *addresses, **specs):
        inventory = FakeHost(
            cells=1, pfs=(FakePf('eth0', vfs=2), FakePf('eth1', vfs=2))
        ).inventory()
        vfs = [d for d in inventory.devices if d.kind == 'vf']
        text = ''.join(
            HOSTDEV.format(*re.split('[:.]', vfs[number].address))
            for number in addresses
        )
        xml = (
            '<domain type="kvm"><name>a</name><memory>1048576</memory>'
            '<vcpu>1</vcpu>'
            f'<devices>{text}</devices></domain>'
        )
        hooks = loader.load()
        flavor = Flavor('f', '1', 1, 1024, extra_specs=specs)
        made = plan.make(
            hooks,
            request.read(flavor, None, loader.knobs(hooks)),
            read(xml),
            Site(inventory),
            placed=True,
        )
        # Nova has made the devices themselves.
        self.assertTrue(all(isinstance(e, Setting) for e in made.effects))
        return {(e.name, e.value) for e in made.effects}, vfs

    def test_their_attributes_are_set_on_their_pfs(self):
        found, vfs = self.settings(
            0, 3,
            **{'kvm:vfs': '2', 'kvm:vf_trust': 'true', 'kvm:vf_vlan': '0'},
        )  # fmt: skip
        self.assertEqual(
            {
                (f'{vfs[number].pf}/{vfs[number].vf_index}/{name}', value)
                for number in (0, 3)
                for name, value in (('trust', '1'), ('vlan', '0'))
            },
            found,
        )

    def test_nothing_asked_of_them_is_nothing_to_do(self):
        self.assertEqual(set(), self.settings(1, **{'kvm:vfs': '1'})[0])

    def test_other_vfs_than_were_asked_are_refused(self):
        for given_ in ((), (0, 1)):
            error = self.assertRaises(
                Unsupported,
                self.settings,
                *given_,
                **{'kvm:vfs': '1', 'kvm:vf_trust': 'true'},
            )
            self.assertIn(f'has {len(given_)} VFs', str(error))


class PlanTest(testtools.TestCase):
    def plan(self, **specs):
        hooks = loader.load()
        asked = request.read(
            Flavor(
                'f', '1', 4, 1024,
                extra_specs={
                    'hw:numa_nodes': '2',
                    'hw:cpu_policy': 'mixed',
                    'hw:cpu_dedicated_mask': '0-2',
                    **{
                        key if ':' in key else f'kvm:{key}': text
                        for key, text in specs.items()
                    },
                },
            ),
            None,
            loader.knobs(hooks),
        )  # fmt: skip
        return plan.make(hooks, asked, read(), SITE, placed=True)

    def test_novas_own_keys_change_nothing(self):
        self.assertEqual((), self.plan().effects)

    def test_novas_own_keys_are_not_checked_again(self):
        """The operator's aliases are Nova's to know."""
        made = self.plan(
            page_sharing='false', **{'pci_passthrough:alias': 'nic:1'}
        )
        self.assertEqual(frozenset(), made.claim.devices)

    def test_the_vcpus_keep_their_pins(self):
        made = self.plan(cpu_locality='l3')
        tuned = domain.tune(domain.read(PINNED), made)
        after = domain.read(tuned).current
        self.assertEqual(read().pins, after.pins)
        self.assertEqual(read().cells, after.cells)
        self.assertEqual(read().memory_nodes, after.memory_nodes)

    def test_only_what_is_ours_is_planned(self):
        made = self.plan(iothreads='2', emulator_cpus='housekeeping')
        self.assertIn(
            Element('cputune/emulatorpin', {'cpuset': '0-1,4-5'}), made.effects
        )
        self.assertEqual(
            ['0-1,4-5', '0-1,4-5'],
            [
                e.attributes['cpuset']
                for e in made.effects
                if e.path.startswith('cputune/iothreadpin')
            ],
        )
        self.assertEqual(
            set(),
            {e.path for e in made.effects if e.path.startswith('numatune')},
        )

    def test_it_holds_what_nova_gave_it(self):
        made = self.plan(page_sharing='false')
        self.assertEqual(frozenset({2, 6, 14}), made.claim.pcpus)
        self.assertEqual(1, made.claim.shared_vcpus)
