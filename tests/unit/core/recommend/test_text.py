"""A recommendation as a file."""

import os

import fixtures
import testtools

from kvm_tuning.core import cpuset
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.recommend import rule, text
from kvm_tuning.host import configuration
from tests.fixtures.fake_host import FakeHost

#: Lists of CPUs that are longer than a line.
LARGE = FakeHost(cells=2, l3_per_cell=8, cores=8, threads=2)


class TextTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.made = rule.recommend(LARGE.inventory(), Ledger())
        self.text = text.configuration(self.made, ['a note'])

    def test_no_line_is_wider(self):
        self.assertLessEqual(max(map(len, self.text.splitlines())), 78)

    def test_what_is_read_is_what_was_recommended(self):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'a.conf')
        with open(path, 'w') as file:
            file.write(self.text)
        conf = configuration.load('/', [path])
        self.assertEqual(
            (self.made.dedicated, self.made.housekeeping),
            (
                cpuset.parse(conf.placement.dedicated_cpus),
                cpuset.parse(conf.placement.shared_cpus),
            ),
        )
        self.assertEqual(
            self.made.housekeeping,
            cpuset.parse(conf.cpu_isolation.housekeeping_cpus),
        )
