import dataclasses

import testtools

from kvm_tuning import loader
from kvm_tuning.core import claims, domain, plan, request
from kvm_tuning.core.claims import Record
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.site import Policy, Site
from tests.fixtures import domain_store
from tests.fixtures.fake_host import FakeHost

ONLINE = frozenset(range(8))
DEDICATED = frozenset(range(2, 8))


def tuned(name='g', vcpus=2, **extra_specs):
    """Return a domain with dedicated vCPUs, and its claim."""
    specs = {'hw:cpu_policy': 'dedicated', **extra_specs}
    hooks = loader.load()
    asked = request.read(
        Flavor('f', '1', vcpus, 256, 0, specs), None, loader.knobs(hooks)
    )
    found = domain.read(domain_store.xml(name, vcpus))
    host = FakeHost(cells=1, l3_per_cell=1, cores=8, threads=1).inventory()
    site = Site(host, policy=Policy(dedicated_cpus=DEDICATED))
    made = plan.make(hooks, asked, found.guest, site)
    return domain.tune(found, made), made.claim


def other_tuning(xml):
    """Return a domain tuned in something else than its place."""
    hooks = loader.load()
    asked = request.read(
        Flavor('f', '1', 2, 256, 0, {'kvm:page_sharing': 'false'}),
        None,
        loader.knobs(hooks),
    )
    found = domain.read(xml)
    host = FakeHost(cells=1, l3_per_cell=1, cores=8, threads=1).inventory()
    site = Site(host, policy=Policy(dedicated_cpus=DEDICATED))
    made = plan.make(hooks, asked, found.guest, site)
    return domain.tune(found, made), made.claim


def pinned(pins, name='h', vcpus=2):
    """Return a domain without a receipt, its vCPUs pinned."""
    elements = ''.join(
        f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>"
        for vcpu, cpus in pins.items()
    )
    return domain_store.xml(name, vcpus).replace(
        '<devices>', f'<cputune>{elements}</cputune><devices>'
    )


def ledger(*records, dedicated=DEDICATED):
    return claims.read(records, ONLINE, dedicated)


class ReceiptTest(testtools.TestCase):
    def test_a_stopped_guest_holds_what_was_promised(self):
        xml, claim = tuned()
        found = ledger(Record('g', 'u', xml, None))
        self.assertEqual(claim.pcpus, found.pcpus)
        self.assertEqual(
            [dataclasses.replace(claim, owner='u', name='g')],
            list(found.claims),
        )

    def test_a_running_guest_holds_it_once(self):
        xml, claim = tuned()
        vcpus = {0: frozenset({2}), 1: frozenset({3})}
        found = ledger(Record('g', 'u', xml, xml, vcpus))
        self.assertEqual(1, len(found.claims))
        self.assertEqual(claim.pcpus, found.pcpus)
        self.assertTrue(found.claims[0].pages_in_use)

    def test_one_tuned_while_it_runs_holds_both(self):
        xml, claim = tuned()
        found = ledger(Record('g', 'u', xml, pinned({0: '6', 1: '7'})))
        self.assertEqual(claim.pcpus | {6, 7}, found.pcpus)

    def test_a_thread_moved_by_hand_holds_its_new_place_too(self):
        xml, claim = tuned()
        vcpus = {0: frozenset({7}), 1: frozenset({3})}
        found = ledger(Record('g', 'u', xml, xml, vcpus))
        self.assertEqual(claim.pcpus | {7}, found.pcpus)

    def test_what_helps_it_holds_no_more_than_promised(self):
        xml, claim = tuned(
            **{
                'kvm:emulator_cpus': 'housekeeping',
                'kvm:iothreads': '1',
                'kvm:iothread_cpus': 'housekeeping',
            }
        )
        self.assertIn("<emulatorpin cpuset='0-1'/>", xml)
        # As under Nova, which says elsewhere which pCPUs are shared
        found = ledger(
            Record('g', 'u', xml, xml, iothreads={1: frozenset({0, 1})}),
            dedicated=None,
        )
        self.assertEqual(claim.pcpus, found.pcpus)

    def test_pins_made_by_hand_are_held_beside_it(self):
        by_hand = pinned({0: '4', 1: '5'}).replace(
            '</cputune>',
            "<emulatorpin cpuset='6'/>"
            "<iothreadpin iothread='1' cpuset='7'/></cputune>",
        )
        by_hand = by_hand.replace('<os>', '<iothreads>1</iothreads><os>')
        xml, claim = other_tuning(by_hand)
        self.assertEqual(frozenset(), claim.pcpus)
        vcpus = {0: frozenset({4}), 1: frozenset({5})}
        for record in (
            Record('h', 'u', xml, None),
            Record('h', 'u', xml, xml, vcpus, {1: frozenset({7})}),
        ):
            self.assertEqual({4, 5, 6, 7}, ledger(record).pcpus)

    def test_an_unreadable_receipt_leaves_the_pins(self):
        xml, claim = tuned()
        broken = xml.replace("source='flavor'", "source='nobody'")
        found = ledger(Record('g', 'u', broken, None))
        self.assertEqual(claim.pcpus, found.pcpus)


def of_nova(xml):
    """Return a domain as one of Nova's guests."""
    return xml.replace(
        '<devices>',
        "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/"
        "libvirt/nova/1.1'/></metadata><devices>",
    )


class NovaTest(testtools.TestCase):
    """Which pCPUs are shared is not known: nobody has told us."""

    def test_who_shares_holds_nothing(self):
        xml = of_nova(domain_store.xml('h', 2))
        for shared in ({0}, {0, 1, 2}):
            vcpus = dict.fromkeys(range(2), frozenset(shared))
            found = ledger(Record('h', 'u', xml, xml, vcpus), dedicated=None)
            self.assertEqual(frozenset(), found.pcpus)
            self.assertEqual(shared, found.claims[0].shared)
            self.assertEqual(2, found.claims[0].shared_vcpus)

    def test_nor_does_one_of_a_numa_cell(self):
        xml = of_nova(pinned({0: '0-1', 1: '0-1'}))
        vcpus = dict.fromkeys(range(2), frozenset({0, 1}))
        found = ledger(Record('h', 'u', xml, xml, vcpus), dedicated=None)
        self.assertEqual(frozenset(), found.pcpus)

    def test_a_pin_of_its_own_holds(self):
        xml = of_nova(pinned({0: '4', 1: '5'}))
        vcpus = {0: frozenset({4}), 1: frozenset({7})}
        found = ledger(Record('h', 'u', xml, xml, vcpus), dedicated=None)
        self.assertEqual({4, 5, 7}, found.pcpus)


class NoReceiptTest(testtools.TestCase):
    def test_a_pin_holds_its_pcpu_running_or_not(self):
        xml = pinned({0: '4', 1: '5'})
        self.assertEqual({4, 5}, ledger(Record('h', 'u', xml, None)).pcpus)
        self.assertEqual({4, 5}, ledger(Record('h', 'u', None, xml)).pcpus)

    def test_a_pin_to_shared_pcpus_holds_nothing(self):
        xml = pinned({0: '0', 1: '0-1'})
        vcpus = {0: frozenset({0}), 1: frozenset({0, 1})}
        found = ledger(Record('h', 'u', xml, xml, vcpus))
        self.assertEqual(frozenset(), found.pcpus)
        self.assertEqual({0, 1}, found.claims[0].shared)
        self.assertEqual(2, found.claims[0].shared_vcpus)

    def test_a_set_for_all_vcpus_is_a_pin(self):
        xml = domain_store.xml('h', 2).replace(
            "<vcpu placement='static'>", "<vcpu cpuset='4-5'>"
        )
        self.assertEqual({4, 5}, ledger(Record('h', 'u', xml, None)).pcpus)
        # Each has a pin of its own.
        xml = pinned({0: '2', 1: '3'}).replace(
            "<vcpu placement='static'>", "<vcpu cpuset='4-5'>"
        )
        self.assertEqual({2, 3}, ledger(Record('h', 'u', xml, None)).pcpus)

    def test_a_range_is_a_pin(self):
        xml = pinned({0: '2-4', 1: '2-4'})
        self.assertEqual({2, 3, 4}, ledger(Record('h', 'u', None, xml)).pcpus)

    def test_what_may_run_anywhere_floats(self):
        xml = domain_store.xml('h')
        found = ledger(Record('h', 'u', xml, xml, {0: ONLINE, 1: ONLINE}))
        self.assertEqual(frozenset(), found.pcpus)
        self.assertEqual(2, found.claims[0].shared_vcpus)

    def test_what_covers_all_dedicated_pcpus_floats(self):
        # A slice that keeps guests from pCPU 0.
        cpus = frozenset(range(1, 8))
        xml = domain_store.xml('h')
        found = ledger(Record('h', 'u', xml, xml, {0: cpus, 1: cpus}))
        self.assertEqual(frozenset(), found.pcpus)

    def test_a_pin_to_the_only_dedicated_pcpu_is_one(self):
        found = ledger(
            Record('h', 'u', None, pinned({0: '3'}, vcpus=1)),
            dedicated=frozenset({3}),
        )
        self.assertEqual({3}, found.pcpus)

    def test_an_emulator_pinned_to_a_dedicated_pcpu_holds_it(self):
        xml = pinned({}).replace(
            '<cputune>', "<cputune><emulatorpin cpuset='6'/>"
        )
        self.assertEqual({6}, ledger(Record('h', 'u', None, xml)).pcpus)

    def test_devices_are_held_running_or_not(self):
        hostdev = (
            "<devices><hostdev mode='subsystem' type='pci'><source>"
            "<address domain='0' bus='0x81' slot='0x10' function='1'/>"
            "</source></hostdev><interface type='hostdev'><source>"
            "<address type='pci' domain='0' bus='0x81' slot='0x10' "
            "function='3'/></source></interface>"
        )
        xml = domain_store.xml('h').replace('<devices>', hostdev)
        held = {'0000:81:10.1', '0000:81:10.3'}
        self.assertEqual(held, ledger(Record('h', 'u', None, xml)).devices)
        self.assertEqual(held, ledger(Record('h', 'u', xml, None)).devices)

    def test_a_nic_of_macvtap_passthrough_is_held(self):
        xml = domain_store.xml('h').replace(
            '<devices>',
            '<devices>'
            "<interface type='direct'>"
            "<source dev='eth1' mode='passthrough'/></interface>"
            "<interface type='direct'>"
            "<source dev='eth2' mode='bridge'/></interface>",
        )
        for record in (
            Record('h', 'u', None, xml),
            Record('h', 'u', xml, None),
        ):
            self.assertEqual({'nic/eth1'}, ledger(record).devices)
        # Beside what its receipt says.
        xml, claim = tuned()
        xml = xml.replace(
            '<devices>',
            "<devices><interface type='direct'>"
            "<source dev='eth1' mode='passthrough'/></interface>",
        )
        found = ledger(Record('g', 'u', xml, None))
        self.assertEqual({'nic/eth1'}, found.devices)
        self.assertEqual(claim.pcpus, found.pcpus)

    def test_huge_pages_of_what_runs_are_in_use(self):
        xml = domain_store.xml('h').replace(
            '<devices>',
            "<memoryBacking><hugepages><page size='2048'/></hugepages>"
            "</memoryBacking><numatune><memory nodeset='1'/></numatune>"
            '<devices>',
        )
        (claim,) = ledger(Record('h', 'u', None, xml)).claims
        self.assertEqual({(1, 2048): 128}, dict(claim.pages))
        self.assertTrue(claim.pages_in_use)


class BeyondTest(testtools.TestCase):
    """What a definition holds beyond what runs."""

    def test_only_what_is_more(self):
        small, large = (0, 2048), (0, 1048576)
        claim = Claim(
            'a', 'a', pcpus=frozenset({1, 2}), shared=frozenset({5}),
            shared_vcpus=2, pages={small: 10, large: 3}, memory_kib={0: 7},
            devices=frozenset({'x', 'y'}),
        )  # fmt: skip
        running = Claim(
            'a', 'a', pcpus=frozenset({2}), pages={small: 4, large: 3},
            memory_kib={1: 7}, devices=frozenset({'y'}),
        )  # fmt: skip
        self.assertEqual(
            Claim(
                'a', 'a', pcpus=frozenset({1}), pages={small: 6},
                memory_kib={0: 7}, devices=frozenset({'x'}),
            ),
            claims._beyond(claim, running),
        )  # fmt: skip
