"""What holds of every plan, whatever is asked of whatever host."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
import testtools

from kvm_tuning import loader
from kvm_tuning.core import domain, plan, request
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import HookError, KvmTuningError
from kvm_tuning.core.knobs import Aliases, Choice, Count, Flag, Size
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Capabilities, Policy, Probe, Site, Storage
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.fixtures.scenarios import GUESTS, PCI_ALIASES, PROFILES

KNOBS = loader.knobs(loader.load())
JUNK = st.text(max_size=6)


def _texts(knob):
    """Return values of a knob: mostly good ones."""
    kind = knob.kind
    good = st.sampled_from(['0-1', '0-3,^2', '1', 'wishes', 'spread', 'a'])
    if isinstance(kind, Flag):
        good = st.sampled_from(['true', 'false', 'on', '0'])
    elif isinstance(kind, Count):
        small = st.integers(kind.minimum, min(kind.maximum, 8))
        good = st.sampled_from(kind.words) if kind.words else small
        good = st.one_of(good, small).map(str)
    elif isinstance(kind, Size):
        good = st.sampled_from([*kind.words, '2048', '1GB', '4'])
    elif isinstance(kind, Choice):
        good = st.sampled_from(kind.values)
    elif isinstance(kind, Aliases):
        good = st.sampled_from(['igbvf:1', 'igb:1,igbvf:2', 'none:1'])
    return st.one_of(*[good] * 24, JUNK)


def _entries(names):
    return st.sampled_from(sorted(names)).flatmap(
        lambda name: st.tuples(
            st.just(name)
            if KNOBS[name].parameter is None
            else st.sampled_from([f'{name}.0', f'{name}.1']),
            _texts(KNOBS[name]),
        )
    )


EXTRA_SPECS = st.lists(
    _entries(name for name, knob in KNOBS.items() if knob.image != name),
    max_size=5,
).map(dict)
PROPERTIES = st.lists(
    _entries(name for name, knob in KNOBS.items() if knob.image is not None),
    max_size=2,
).map(lambda pairs: {KNOBS[k].image: v for k, v in pairs if k in KNOBS})
FLAVORS = st.builds(
    Flavor,
    st.just('f'),
    st.just('1'),
    st.integers(1, 10),
    st.sampled_from([512, 1024, 2048, 3000]),
    st.just(0),
    EXTRA_SPECS,
)
HOSTS = st.builds(
    FakeHost,
    cells=st.integers(0, 3),
    l3_per_cell=st.integers(0, 3),
    cores=st.integers(1, 4),
    threads=st.sampled_from([1, 2, 4]),
    huge_pages=st.sampled_from([{}, {2048: 600}, {2048: 2000, 1048576: 2}]),
    pfs=st.sampled_from(
        [(), (FakePf('p0', vfs=2),), (FakePf('p0', vfs=3, vf_driver='igbvf'),)]
    ),
)
PROBES = st.builds(Probe, st.sampled_from([True, False, None]), st.just('w'))
STORAGES = st.builds(
    Storage, st.sampled_from(['file', 'block']), PROBES, PROBES
)
CAPABILITIES = st.builds(
    Capabilities,
    libvirt=st.sampled_from([None, (8, 0, 0), (11, 0, 0)]),
    qemu=st.sampled_from([None, (4, 0, 0), (10, 0, 0)]),
    vhost_net=PROBES,
    io_uring=PROBES,
    tap_queues=st.sampled_from([None, 8, 256]),
    storage=st.dictionaries(
        st.sampled_from(['/images/root.raw', '/dev/vg/data']), STORAGES
    ),
    transparent_huge_pages=st.sampled_from([None, 'always', 'never']),
    management_nics=st.sampled_from([None, frozenset({'eth1'})]),
)
XML = {path.stem: path.read_text() for path in GUESTS.glob('*.xml')}


@st.composite
def sites(draw):
    """A host where somebody else may hold something already."""
    inventory = draw(HOSTS).inventory()
    cpus = sorted(inventory.online)
    dedicated = draw(st.none() | st.frozensets(st.sampled_from(cpus)))
    shared = draw(st.none() | st.frozensets(st.sampled_from(cpus)))
    taken = draw(st.frozensets(st.sampled_from(cpus), max_size=6))
    return Site(
        inventory,
        Ledger((Claim('other', 'other', taken & (dedicated or frozenset())),)),
        draw(CAPABILITIES),
        Policy(
            dedicated,
            None if shared is None else shared - (dedicated or frozenset()),
        ),
    )


def make(which, flavor, properties, site):
    asked = request.read(
        flavor,
        Image('i', '1', properties),
        KNOBS,
        PROFILES,
        {'kvm:page_sharing': 'false'} if flavor.vcpus == 3 else None,
        PCI_ALIASES,
    )
    return plan.make(loader.load(), asked, which.guest, site)


class PlanPropertiesTest(testtools.TestCase):
    planned = 0

    @settings(
        max_examples=250,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(FLAVORS, PROPERTIES, st.sampled_from(sorted(XML)), sites())
    def test_a_plan_that_holds_or_an_error_of_ours(
        self, flavor, properties, name, site
    ):
        which = domain.read(XML[name])
        try:
            made = make(which, flavor, properties, site)
        except HookError:
            raise
        except KvmTuningError as error:
            self.assertTrue(str(error))
            self.assertNotIn(' object at 0x', str(error))
            return
        type(self).planned += 1
        self._placed(made, site)
        tuned = domain.read(domain.tune(which, made))
        again = make(tuned, flavor, properties, site)
        self.assertEqual(tuned.xml, domain.tune(tuned, again))
        self.assertEqual(which.xml, domain.undo(tuned))
        if not made.request.asked:
            self.assertIs(which.xml, tuned.xml)

    def _placed(self, made, site):
        pins = list(made.placement.pins.values())
        held = made.placement.held
        dedicated = site.policy.dedicated_cpus or frozenset()
        self.assertEqual(len(pins), len(set(pins)), 'one pCPU twice')
        self.assertLessEqual(held, dedicated & site.inventory.online)
        self.assertEqual(frozenset(), held & site.ledger.pcpus)
        for cpus in made.placement.pools.values():
            self.assertEqual(frozenset(), cpus & site.ledger.pcpus)
        policy = made.request.get('kvm:cpu_locality_policy')
        locality = made.request.value('kvm:cpu_locality')
        if policy is None or policy.value != 'strict' or locality != 'l3':
            return
        for cell in made.placement.cells:
            domains = {site.inventory.cpu[p].l3 for p in cell.pins.values()}
            largest = max(len(each) for each in site.inventory.l3)
            self.assertGreaterEqual(
                len(domains), math.ceil(len(cell.pins) / largest)
            )
            usable = sorted(
                (
                    len(each & dedicated & site.inventory.cell[c.id].cpus)
                    for c in site.inventory.cells
                    for each in site.inventory.l3
                ),
                reverse=True,
            )
            # No more domains than so many of the largest ones could need,
            # were all their cores whole.
            needed, room = 0, 0
            while room < len(cell.pins) and needed < len(usable):
                room += usable[needed]
                needed += 1
            if made.request.value('hw:cpu_thread_policy') is None:
                self.assertLessEqual(len(domains), max(needed, 1) + 1)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        # A generator that is always refused would prove nothing; about a
        # quarter of what it makes is planned.
        assert cls.planned > 10, cls.planned


class HostileXmlTest(testtools.TestCase):
    SITE = Site(FakeHost().inventory(), policy=Policy(frozenset(range(16))))
    FLAVOR = Flavor(
        'f', '1', 4, 2048, 0,
        {
            'hw:cpu_policy': 'dedicated',
            'kvm:iothreads': '2',
            'kvm:disk_cache': 'none',
            'kvm:vif_queues': '2',
            'kvm:page_sharing': 'false',
        },
    )  # fmt: skip

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from(sorted(XML)),
        st.lists(
            st.tuples(
                st.integers(0, 60),
                st.sampled_from(['drop', 'double', 'text', 'attribute']),
                JUNK.filter(lambda text: text.isprintable()),
            ),
            max_size=5,
        ),
    )
    def test_damaged_domains(self, name, damages):
        root = etree.fromstring(XML[name])
        for position, how, text in damages:
            elements = list(root.iter(etree.Element))[1:]
            if not elements:
                break
            element = elements[position % len(elements)]
            parent = element.getparent()
            if how == 'drop':
                parent.remove(element)
            elif how == 'double' and parent.tag == 'devices':
                copy = etree.fromstring(etree.tostring(element))
                parent.append(copy)
            elif how == 'text':
                element.text = text or None
            elif element.attrib:
                element.set(sorted(element.attrib)[0], text)
        xml = etree.tostring(root, encoding='unicode')
        try:
            which = domain.read(xml)
            made = make(which, self.FLAVOR, {}, self.SITE)
            tuned = domain.read(domain.tune(which, made))
        except HookError:
            raise
        except KvmTuningError as error:
            self.assertTrue(str(error))
            return
        self.assertEqual(xml, domain.undo(tuned))
