"""Every knob is asked of a server in a real cloud, or it is said why not."""

import testtools

from kvm_tuning import loader
from tests.cloud import coverage


class CoverageTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.knobs = set(loader.knobs(loader.load()))
        self.asked = coverage.asked() & self.knobs

    def test_every_knob(self):
        self.assertEqual(
            [], sorted(self.knobs - self.asked - set(coverage.LEFT_OUT))
        )

    def test_nothing_is_left_out_without_need(self):
        self.assertEqual(
            [], sorted(set(coverage.LEFT_OUT) - (self.knobs - self.asked))
        )
