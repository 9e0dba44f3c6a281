"""Costs are bounded, bytes survive, and receipts are checked."""

import time

from lxml import etree
import testtools

from kvm_tuning.core import claims, domain, edit, guest, receipt
from kvm_tuning.core.edit import Promise, Removal
from kvm_tuning.core.effects import Absent, Element, Phase, Scope, Setting
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.xml import bytes as bytes_
from kvm_tuning.core.xml.tree import Removed
from tests.fixtures import promises

SECONDS = 2.0


def spent(act):
    start = time.process_time()
    act()
    return time.process_time() - start


class BytesTest(testtools.TestCase):
    def test_survive(self):
        for xml in (
            '<domain/>',
            '\ufeff<domain a="1"><x y=\'2\'/></domain>',
            '<domain a=\'1\' b="2"><n>it\'s "x"</n></domain>\n',
            '<domain a="x&amp;y" b=\'&quot;\' c="&#39;"><a/></domain>',
            '<domain  a="1"\n  b=\'2\' ><a c = "3"/></domain>',
            "<domain a='1'/><!-- </domain> --><?pi x='1'?>\n<!-- <a -->",
            '<?xml version="1.0"?><!-- <domain> --><domain x="a"/>',
            '<domain><!-- a="b" --><x y=\'z\'/></domain><!-- > -->',
        ):
            root = etree.fromstring(xml.encode())
            self.assertEqual(xml, bytes_.like(root, xml))

    def test_a_change_leaves_the_bytes_of_other_tags(self):
        xml = '<domain a=\'1\'><x y="2"/><z q="3"/></domain><!-- end -->'
        root = etree.fromstring(xml)
        root[0].set('y', '5')
        self.assertEqual(
            "<domain a='1'><x y='5'/><z q=\"3\"/></domain><!-- end -->",
            bytes_.like(root, xml),
        )

    def test_in_proportion_to_the_text(self):
        many = 60_000
        for xml in (
            f'<domain>{"<a b=" + chr(34) + "c" + chr(34) + "/>"}'
            f"<x y='z'/>{'<!-- -->' * many}</domain>",
            f'<domain/>{"<!-- x -->" * many}',
            f'{"<!-- x -->" * many}<domain/>',
            f'<domain><a>{chr(39) * many * 10}</a></domain>',
            f'<domain>{"&gt;" * many * 5}</domain>',
        ):
            root = etree.fromstring(xml)
            seconds = spent(lambda root=root, xml=xml: bytes_.like(root, xml))
            self.assertThat(seconds, testtools.matchers.LessThan(SECONDS))


class CostTest(testtools.TestCase):
    def test_many_disks_are_tuned_and_undone(self):
        count = 3000
        path = "devices/disk[target/@dev='vd{}']/driver"
        xml = ''.join(
            f"<disk><driver name='qemu'/><target dev='vd{n}'/></disk>"
            for n in range(count)
        )
        before = f'<domain><devices>{xml}</devices></domain>'
        root = etree.fromstring(before)

        def tune_and_undo():
            editor = edit.Editor(root)
            made = [
                editor.apply(Element(path.format(n), {'cache': 'none'}))
                for n in range(count)
            ]
            made += [
                editor.remove(Absent(path.format(n))) for n in range(count)
            ]
            self.assertEqual([], edit.Editor(root).take_back(made))

        self.assertThat(
            spent(tune_and_undo), testtools.matchers.LessThan(SECONDS)
        )
        self.assertEqual(
            before.replace('"', "'"),
            etree.tostring(root, encoding='unicode').replace('"', "'"),
        )

    def test_numbers_and_lists_have_limits(self):
        pins = ''.join(
            f"<vcpupin vcpu='{n}' cpuset='0-65535'/>" for n in range(100)
        )
        for inner, words in (
            ('<iothreads>999999999999</iothreads>', '<iothreads>'),
            ('<vcpu>99999999</vcpu>', '<vcpu>'),
            (f'<cputune>{pins}</cputune>', 'CPU lists'),
            (
                f'<cpu><numa>{"<cell/>" * 2000}</numa></cpu>',
                'cpu/numa/cell',
            ),
            (
                f'<devices>{"<interface/>" * 5000}</devices>',
                'devices/interface',
            ),
            (
                f'<devices>{"<controller/>" * 300}</devices>',
                'controller[not(@index)]',
            ),
        ):
            root = etree.fromstring(f'<domain>{inner}</domain>')
            begun = time.process_time()
            error = self.assertRaises(InvalidDocument, guest.read, root)
            self.assertIn(words, str(error))
            self.assertThat(
                time.process_time() - begun, testtools.matchers.LessThan(1.0)
            )

    def test_two_elements_at_one_address(self):
        for inner, address in (
            ('<cputune/><cputune/>', 'cputune'),
            (
                "<cputune><vcpupin vcpu='0' cpuset='1'/>"
                "<vcpupin vcpu='0' cpuset='2'/></cputune>",
                "cputune/vcpupin[@vcpu='0']",
            ),
            ("<cpu><numa><cell id='1'/><cell id='1'/></numa></cpu>", '[@id='),
            (
                "<devices><disk><driver/><driver/><target dev='vda'/></disk>"
                '</devices>',
                'devices/disk/driver',
            ),
        ):
            root = etree.fromstring(f'<domain>{inner}</domain>')
            error = self.assertRaises(InvalidDocument, guest.read(root).verify)
            self.assertIn(address, str(error))


class ReceiptTest(testtools.TestCase):
    def test_what_we_do_not_write(self):
        setting = Setting(
            'sysfs',
            'sys/../../etc/shadow',
            '1',
            Scope.INSTANCE,
            Phase.BEFORE_START,
        )
        for kept, more in (
            ([Promise('a/b[', {'x': '1'}, {})], {}),
            ([Promise('/'.join('a' * 40), {'x': '1'}, {})], {}),
            ([Promise('vcpu', {'x': '1'}, {}, made=9)], {}),
            ([Promise('vcpu', {'a b': '1'}, {})], {}),
            (
                [Promise("cputune/vcpupin[@vcpu='x']", {'cpuset': '1'}, {})],
                {},
            ),
            (
                [Promise("cputune/vcpupin[@vcpu='1']", {'cpuset': 'x'}, {})],
                {},
            ),
            ([Removal('cpu', (Removed(0, '<a', None, None),))], {}),
            ([Removal('cpu', (Removed(-1, '<a/>', None, None),))], {}),
            ([Removal('cpu', (Removed(0, '<a/>', '\x01', None),))], {}),
            (
                [Removal('cpu', (Removed(0, '<!DOCTYPE a><a/>', '', ''),))],
                {},
            ),
            (
                [],
                {
                    'claim': Claim(
                        '', '', shared=frozenset({1}), shared_vcpus=-1
                    )
                },
            ),
            ([], {'claim': Claim('', '', memory_kib={0: 1 << 60})}),
            ([], {'claim': Claim('', '', devices=frozenset({'a' * 9999}))}),
            ([], {'settings': (setting,)}),
        ):
            try:
                element = receipt.write(promises.receipt(*kept, **more))
            except etree.XMLSyntaxError:
                # An attribute that no document can have.
                continue
            self.assertRaises(InvalidDocument, receipt.read, element)

    def test_a_bad_one_is_named_and_the_rest_is_read(self):
        text = etree.tostring(
            receipt.write(promises.receipt(Promise('vcpu', {'x': '1'}, {}))),
            encoding='unicode',
        ).replace('path="vcpu"', 'path="vcpu["')
        xml = f'<domain><name>g</name><metadata>{text}</metadata></domain>'
        self.assertRaises(InvalidDocument, domain.read, xml)
        found = domain.look(xml)
        self.assertIsNone(found.receipt)
        self.assertIn('vcpu[', str(found.unreadable))
        self.assertEqual('g', found.current.name)

    def test_nested_and_other_values_that_are_kept_as_texts(self):
        removal = Removal('cpu', (Removed(0, '<a/>', None, None),))
        for text in ('[' * 100_000, '[1]', '7'):
            element = receipt.write(promises.receipt(removal))
            (removed,) = element.iter(f'{{{receipt.NAMESPACE}}}removed')
            removed.set('before', text)
            self.assertRaises(InvalidDocument, receipt.read, element)

    def test_a_pCPU_of_one_vCPU_is_held_though_it_is_called_shared(self):
        path = "cputune/vcpupin[@vcpu='0']"
        forged = Claim('', '', shared=frozenset({3}), shared_vcpus=1)
        text = etree.tostring(
            receipt.write(
                promises.receipt(
                    Promise(path, {'cpuset': '3'}, {}), claim=forged
                )
            ),
            encoding='unicode',
        )
        xml = (
            f'<domain><name>g</name><metadata>{text}</metadata>'
            "<vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='3'/>"
            '</cputune></domain>'
        )
        online = frozenset(range(8))
        for record in (
            claims.Record('g', 'u', xml, None),
            claims.Record('g', 'u', None, xml, {0: frozenset({3})}),
        ):
            found = claims.read([record], online, frozenset({2, 3}))
            self.assertEqual({3}, found.pcpus)

    def test_pins_hold_whatever_a_receipt_says(self):
        path = "cputune/vcpupin[@vcpu='0']"
        for held in (frozenset(), frozenset({5})):
            text = etree.tostring(
                receipt.write(
                    promises.receipt(
                        Promise(path, {'cpuset': '3'}, {}),
                        claim=Claim('', '', pcpus=held),
                    )
                ),
                encoding='unicode',
            )
            xml = (
                f'<domain><name>g</name><metadata>{text}</metadata>'
                "<vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='3'/>"
                '</cputune></domain>'
            )
            for broken in (xml, xml.replace('path="cputune', 'path="[')):
                found = claims.read(
                    [claims.Record('g', 'u', broken, None)],
                    frozenset(range(8)),
                    None,
                )
                self.assertIn(3, found.pcpus)
