"""A receipt as libvirt's setMetadata takes it."""

from lxml import etree
import testtools

from kvm_tuning.core import receipt
from kvm_tuning.core.claims import Claim
from kvm_tuning.core.edit import Promise
from kvm_tuning.core.receipt import Receipt

_DOMAIN = '<domain><metadata/></domain>'


class MetadataTest(testtools.TestCase):
    def test_libvirt_can_declare_the_prefix(self):
        domain = etree.fromstring(_DOMAIN)
        given = Receipt(
            'perf',
            promises=(Promise('vcpu', {'cpuset': '2'}, {'cpuset': None}),),
        )
        domain.find('metadata').append(receipt.write(given))
        before = etree.tostring(domain)
        found = etree.fromstring(receipt.metadata(domain))
        self.assertNotIn(receipt.PREFIX, found.nsmap)
        self.assertEqual(given, receipt.read(found))
        self.assertEqual(before, etree.tostring(domain))

    def test_a_claim_comes_back_whole(self):
        claim = Claim(
            '',
            '',
            pcpus=frozenset({4, 5}),
            shared=frozenset({0, 2}),
            shared_vcpus=3,
            pages={(1, 2048): 64},
            memory_kib={0: 4096},
            devices=frozenset({'0000:05:10.0'}),
        )
        given = Receipt('perf', claim=claim)
        self.assertEqual(claim, receipt.read(receipt.write(given)).claim)

    def test_without_a_receipt(self):
        self.assertIsNone(receipt.metadata(etree.fromstring(_DOMAIN)))
