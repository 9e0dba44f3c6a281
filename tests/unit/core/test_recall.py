import dataclasses

import testtools

from kvm_tuning import loader
from kvm_tuning.core import domain, recall, receipt, request
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import InvalidDocument, UnknownKnob
from kvm_tuning.core.knobs import Source
from kvm_tuning.core.receipt import Receipt
from tests.fixtures import domain_store

KNOBS = loader.knobs(loader.load())
GUEST = domain.read(domain_store.xml('g', 4, 1024)).current


def ask():
    flavor = Flavor(
        'f', '1', 4, 1024, 0,
        {
            'hw:numa_nodes': '2',
            'hw:numa_cpus.0': '0',
            'hw:numa_cpus.1': '1-3',
            'hw:numa_mem.0': '256',
            'hw:numa_mem.1': '768',
            'kvm:profile': 'p',
        },
    )  # fmt: skip
    image = Image('i', '2', {'hw_cpu_policy': 'dedicated'})
    profiles = {'p': {'kvm:page_sharing': 'false'}}
    defaults = {'kvm:memory_allocation': 'immediate'}
    return request.read(flavor, image, KNOBS, profiles, defaults)


def receipt_of(asked):
    return Receipt(
        asked.flavor,
        tuple(
            receipt.Origin(a.key, a.text, a.source, a.origin)
            for a in asked.asked.values()
        ),
    )


class RecallTest(testtools.TestCase):
    def test_the_same_request(self):
        asked = ask()
        again = recall.request(receipt_of(asked), GUEST, KNOBS)
        self.assertEqual(asked.asked, again.asked)
        self.assertEqual(asked.topology, again.topology)
        self.assertEqual((4, 1024), (again.vcpus, again.memory_mib))

    def test_a_knob_that_is_gone(self):
        fewer = {k: v for k, v in KNOBS.items() if k != 'kvm:page_sharing'}
        self.assertRaises(
            UnknownKnob, recall.request, receipt_of(ask()), GUEST, fewer
        )

    def test_a_value_that_is_no_longer_valid(self):
        found = Receipt(
            'f',
            (
                receipt.Origin(
                    'kvm:page_sharing', 'maybe', Source.FLAVOR, 'flavor'
                ),
            ),
        )
        error = self.assertRaises(
            InvalidDocument, recall.request, found, GUEST, KNOBS
        )
        self.assertIn('kvm:page_sharing=maybe', str(error))

    def test_aliases(self):
        again = recall.request(Receipt('f'), GUEST, KNOBS, {'a': {}})
        self.assertEqual({'a': {}}, again.pci_aliases)
        self.assertEqual(
            dataclasses.replace(again, pci_aliases={}),
            recall.request(Receipt('f'), GUEST, KNOBS),
        )
