"""A domain's XML: secured, tuned in place, and given back."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
import testtools

from kvm_tuning.core import domain, receipt
from kvm_tuning.core.effects import (
    Absent,
    Element,
    Phase,
    Scope,
    Setting,
)
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Source
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.placement import Placement, Unkept
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.xml import bytes as bytes_
from tests.unit.core.test_edit import ABSENTS, BASE, ELEMENTS, documents

CLAIM = Claim(
    owner='one',
    name='one',
    pcpus=frozenset({4, 5, 6}),
    shared=frozenset({0, 1}),
    shared_vcpus=2,
    pages={(0, 2048): 64},
    memory_kib={1: 1024},
    devices=frozenset({'0000:41:10.0'}),
)
ASKED = Asked(
    'kvm:disk_io', 'native', 'native', Source.FLAVOR, "flavor 'tiny'"
)
SETTING = Setting(
    'thread-affinity', 'vhost', '0-1', Scope.INSTANCE, Phase.AFTER_START
)


# tune() asks a plan for its effects, request and claim only.
GUEST = Guest('one', None, 'kvm', None, None, 2, 1024)


UNKEPT = (Unkept('kvm:profile', 'l3', 'two L3 domains', 'no room'),)


def plan_of(effects, unkept=UNKEPT):
    return Plan(
        request=Request('tiny', 2, 256, {ASKED.key: ASKED}),
        guest=GUEST,
        demands=(),
        placement=Placement(),
        effects=tuple(effects),
        claim=CLAIM,
        consequences=(),
        unkept=unkept,
    )


EFFECTS = (
    Element("cputune/vcpupin[@vcpu='0']", {'cpuset': '4'}),
    Element("cputune/vcpupin[@vcpu='1']", {'cpuset': '5'}),
    Element(
        "devices/disk[target/@dev='vda']/driver",
        {'cache': None, 'io': 'native'},
    ),
    Element('vcpu', {}, '4'),
    Absent('odd'),
    SETTING,
)


class TuneTest(testtools.TestCase):
    def test_nothing_to_do_gives_the_same_bytes(self):
        which = domain.read(BASE)
        self.assertIs(BASE, domain.tune(which, plan_of((), ())))
        self.assertIs(BASE, domain.undo(which))

    def test_every_effect_holds_and_the_rest_survives(self):
        which = domain.read(BASE)
        root = etree.fromstring(domain.tune(which, plan_of(EFFECTS)))
        pins = root.findall('cputune/vcpupin')
        self.assertEqual(['4', '5'], [p.get('cpuset') for p in pins])
        driver = root.find('devices/disk/driver')
        self.assertEqual(
            {'name': 'qemu', 'type': 'raw', 'io': 'native'},
            dict(driver.attrib),
        )
        self.assertEqual('4', root.findtext('vcpu'))
        self.assertIsNone(root.find('odd'))
        self.assertEqual(' kept ', root.xpath('comment()')[0].text)

    def test_the_receipt_says_all_that_was_promised(self):
        which = domain.read(BASE)
        tuned = domain.read(domain.tune(which, plan_of(EFFECTS)))
        receipt = tuned.receipt
        self.assertEqual('tiny', receipt.flavor)
        self.assertEqual((SETTING,), receipt.settings)
        self.assertEqual(CLAIM.pcpus, receipt.claim.pcpus)
        self.assertEqual(CLAIM.pages, receipt.claim.pages)
        self.assertEqual(CLAIM.memory_kib, receipt.claim.memory_kib)
        self.assertEqual(CLAIM.devices, receipt.claim.devices)
        self.assertEqual(2, receipt.claim.shared_vcpus)
        self.assertEqual('kvm:disk_io', receipt.asked[0].key)
        self.assertEqual(Source.FLAVOR, receipt.asked[0].source)
        self.assertEqual('no room', receipt.unkept[0].reason)
        promise = receipt.promises[2]
        self.assertEqual({'cache': None, 'io': 'native'}, promise.wanted)
        self.assertEqual({'cache': 'none', 'io': None}, promise.found)

    def test_the_receipt_takes_any_text(self):
        odd = 'a<b> "c" \'d\' &amp; e\tf\ng'
        plan = plan_of(EFFECTS)
        unkept = (Unkept('kvm:x', odd, odd, odd),)
        found = domain.read(
            domain.tune(domain.read(BASE), replace(plan, unkept=unkept))
        )
        self.assertEqual(unkept, found.receipt.unkept)

    def test_settings_are_told_without_parsing(self):
        for effects, has in ((EFFECTS, True), (EFFECTS[:1], False)):
            tuned = domain.tune(domain.read(BASE), plan_of(effects))
            self.assertEqual(has, receipt.has_settings(tuned))
            found = domain.read(tuned)
            self.assertEqual(has, bool(found.receipt.settings))
            set_anew = receipt.metadata(found.root)
            self.assertEqual(has, receipt.has_settings(set_anew))

    def test_a_tree_is_tuned_as_its_text_is(self):
        blank = etree.XMLParser(remove_blank_text=True)
        root = etree.fromstring(BASE, blank)
        before = etree.tostring(root, encoding='unicode')
        domain.tune_tree(root, plan_of(EFFECTS))
        self.assertEqual(
            domain.tune(domain.read(before), plan_of(EFFECTS)),
            etree.tostring(root, encoding='unicode'),
        )
        found = domain.read(
            etree.tostring(root, encoding='unicode', pretty_print=True)
        )
        self.assertEqual((), found.untuned.foreign)

    def test_a_tree_of_which_nothing_is_asked_stays(self):
        root = etree.fromstring(BASE)
        domain.tune_tree(root, plan_of((), ()))
        self.assertEqual(
            etree.tostring(etree.fromstring(BASE)), etree.tostring(root)
        )

    def test_a_second_plan_starts_from_the_untuned_domain(self):
        which = domain.read(BASE)
        first = domain.read(domain.tune(which, plan_of(EFFECTS)))
        self.assertEqual(2, first.guest.vcpus)
        self.assertEqual(4, first.current.vcpus)
        effects = (Element('vcpu', {}, '3'),)
        second = domain.read(domain.tune(first, plan_of(effects)))
        self.assertEqual({}, dict(second.current.pins))
        self.assertEqual(BASE, domain.undo(second))

    def test_a_plan_without_effects_takes_the_tuning_back(self):
        which = domain.read(BASE)
        tuned = domain.read(domain.tune(which, plan_of(EFFECTS)))
        self.assertEqual(BASE, domain.tune(tuned, plan_of((), ())))

    def test_a_preference_alone_that_was_not_kept_is_written_down(self):
        found = domain.read(domain.tune(domain.read(BASE), plan_of(())))
        self.assertEqual(UNKEPT, found.receipt.unkept)
        self.assertEqual(BASE, domain.undo(found))

    def test_other_metadata_stays(self):
        xml = BASE.replace(
            '<odd/>',
            "<metadata>\n    <x:y xmlns:x='urn:x' a='1'/>\n  </metadata>",
        )
        which = domain.read(xml)
        tuned = domain.read(domain.tune(which, plan_of(EFFECTS)))
        self.assertIn('urn:x', tuned.xml)
        self.assertEqual(xml, domain.undo(tuned))

    def test_what_stands_around_the_domain_stays(self):
        xml = (
            f"<?xml version='1.0'?>\n<!-- <a b='c'> -->\n{BASE}\n<!-- > -->\n"
        )
        which = domain.read(xml)
        tuned = domain.tune(which, plan_of(EFFECTS))
        self.assertTrue(tuned.startswith("<?xml version='1.0'?>\n<!-- <a b="))
        self.assertTrue(tuned.endswith('</domain>\n<!-- > -->\n'))
        self.assertEqual(xml, domain.undo(domain.read(tuned)))

    def test_an_edited_receipt_is_an_error_not_a_crash(self):
        which = domain.read(BASE)
        tuned = domain.tune(which, plan_of(EFFECTS))
        for old, new in (
            ("made='2'", "made='many'"),
            ("source='flavor'", "source='nobody'"),
            ("pcpus='4-6'", "pcpus='4-x'"),
            ('xml=', 'lmx='),
        ):
            self.assertIn(old, tuned)
            self.assertRaises(
                InvalidDocument, domain.read, tuned.replace(old, new)
            )


class RoundTripTest(testtools.TestCase):
    @settings(max_examples=150, deadline=None)
    @given(
        documents(),
        st.lists(st.one_of(ELEMENTS, ABSENTS), max_size=5),
        st.sampled_from('\'"'),
    )
    def test_tuning_twice_and_undoing(self, root, effects, quote):
        xml = etree.tostring(root, encoding='unicode')
        if quote == "'":
            xml = bytes_._single_quoted(xml)
        which = domain.read(xml)
        plan = plan_of(effects)
        tuned = domain.read(domain.tune(which, plan))
        again = domain.tune(tuned, plan_of(effects))
        self.assertEqual(tuned.xml, again)
        self.assertEqual(xml, domain.undo(tuned))


class SecurityTest(testtools.TestCase):
    def test_hostile_documents_are_refused(self):
        bodies = {
            'entity': '<!DOCTYPE domain [<!ENTITY a "b">]>'
            '<domain>&a;</domain>',
            'file': '<!DOCTYPE domain [<!ENTITY a SYSTEM "file:///etc/passwd">'
            ']><domain>&a;</domain>',
            'external': '<!DOCTYPE domain SYSTEM "http://localhost/x.dtd">'
            '<domain/>',
            'parameter': '<!DOCTYPE d [<!ENTITY % a SYSTEM "file:///x"> %a;]>'
            '<domain/>',
            'undeclared': '<domain>&a;</domain>',
            'not a domain': '<network/>',
            'not XML': 'name: x',
            'empty': '',
            'surrogate': '<domain>\ud800</domain>',
        }
        for name, body in bodies.items():
            self.assertRaises(InvalidDocument, domain.read, body)
            self.addDetail(name, testtools.content.text_content('refused'))

    def test_a_huge_document_is_refused(self):
        body = f'<domain>{" " * domain.MAX_BYTES}</domain>'
        self.assertRaises(InvalidDocument, domain.read, body)

    def test_a_deep_document_is_refused(self):
        deep = '<a>' * 5000 + '</a>' * 5000
        self.assertRaises(
            InvalidDocument, domain.read, f'<domain>{deep}</domain>'
        )

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=200))
    def test_any_text_is_read_or_refused(self, text):
        try:
            domain.read(text)
        except InvalidDocument:
            return
        self.assertIn('<domain', text)
