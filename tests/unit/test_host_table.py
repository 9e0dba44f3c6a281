"""The table of host settings, and what a group may lack."""

import dataclasses

from oslo_config import cfg
import testtools

from kvm_tuning import host_table, sphinxext
from kvm_tuning.host.prep.groups.group import NOBODY, Group
from kvm_tuning.host.prep.groups.table import GROUPS
from kvm_tuning.host_table import Evidence, Row
from tests.fixtures import host_evidence

GROUP = Group(
    'numa',
    (cfg.BoolOpt('balancing', help='Whether it is on.'),),
    wanted=lambda conf: None,
    read=lambda host: None,
    plan=lambda wanted, state: iter(()),
    rivals=NOBODY,
    persisted='the unit',
    undone='the former value',
)
EVIDENCE = Evidence(
    frozenset({'balancing'}),
    frozenset({'sysfs'}),
    section=True,
    note=True,
)


def lacking(evidence=EVIDENCE, **changes):
    group = dataclasses.replace(GROUP, **changes)
    return list(host_table.missing([Row(group, evidence)]))


def shows(**changes):
    return lacking(dataclasses.replace(EVIDENCE, **changes))


class MissingTest(testtools.TestCase):
    def only(self, lines, words):
        self.assertEqual(1, len(lines), lines)
        self.assertIn('[numa]', lines[0])
        self.assertIn(words, lines[0])

    def test_nothing(self):
        self.assertEqual([], lacking())

    def test_each_declaration(self):
        self.only(lacking(rivals=None), 'who else sets the same')
        self.only(lacking(persisted=''), 'how it is persisted')
        self.only(lacking(undone=''), 'how it is undone')
        self.only(lacking(options=(cfg.BoolOpt('balancing'),)), 'give it help')

    def test_each_thing_beside_the_code(self):
        self.only(shows(section=False), '_host-numa')
        self.only(shows(note=False), 'has no release note')
        self.only(shows(options=frozenset()), 'tests/host_settings/numa.yaml')

    def test_what_the_whole_host_shows(self):
        self.only(shows(kinds=frozenset()), 'makes no setting')
        self.only(shows(forgotten=('x',)), 'a reboot forgets x')
        self.only(shows(unmade=('sys/x',)), '/sys/x is not as')
        self.only(shows(left=('sys/x',)), 'undo has left /sys/x changed')

    def test_no_page_is_drawn_of_an_incomplete_table(self):
        row = Row(GROUP, Evidence())
        error = self.assertRaises(
            sphinxext.HostTableIncomplete, list, sphinxext.groups([row])
        )
        self.assertIn('[numa] has no release note', str(error))


class GroupsTest(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows = host_table.rows(GROUPS, host_evidence.gathered())

    def test_nothing_is_missing(self):
        self.assertEqual([], list(host_table.missing(self.rows)))

    def test_what_a_group_sets(self):
        kinds = {row.group.name: row.evidence.kinds for row in self.rows}
        self.assertEqual({'kernel-arguments'}, kinds['iommu'])
        self.assertEqual({'sysfs', 'service'}, kinds['ksm'])
        self.assertEqual({'sysfs', 'udev-rule'}, kinds['block_scheduler'])

    def test_the_page(self):
        lines = list(sphinxext.groups(self.rows))
        ksm = lines.index(':ref:`ksm <host-ksm>`')
        self.assertIn('   :sets: ``service``, ``sysfs``', lines[ksm : ksm + 6])

    def test_no_address_has_two_ways(self):
        ways = [way for group in GROUPS for way in group.ways]
        for address in (
            ('sysfs', 'sys/kernel/mm/ksm/run'),
            ('running-parameter', 'igb.max_vfs'),
            ('running-parameter', 'kvm_intel.ept'),
        ):
            self.assertEqual(
                1, sum(way.fits(address) for way in ways), address
            )
