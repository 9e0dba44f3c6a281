"""A receipt that replaces another stands as the first one did."""

import testtools

from kvm_tuning.core import domain
from tests.fixtures.scenarios import plan_of, scenarios


class ReplacedTest(testtools.TestCase):
    def test_the_same_receipt_gives_the_same_bytes(self):
        found, made = plan_of(scenarios()[0])
        tuned = domain.read(domain.tune(found, made))
        domain.replace_receipt(tuned.root, tuned.receipt)
        self.assertEqual(tuned.xml, domain.written(tuned.root, tuned.xml))
