"""``host rebalance`` as people and programs see it."""

import os

from lxml import etree

from kvm_tuning.cmd import rebalance_report
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import exchange_journal
from tests.fixtures import scattered_guests
from tests.fixtures.fake_host import FakeHost
from tests.unit.adapters.healing.base import HealingTest
from tests.unit.cmd.base import CommandTest


class DryRunTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.root = os.path.join(self.folder, 'root')
        os.mkdir(self.root)
        FakeHost(cells=1, l3_per_cell=2, cores=4, threads=1).write(self.root)
        self.domains = os.path.join(self.folder, 'xml')
        os.mkdir(self.domains)

    def guest(self, name, *pcpus):
        with open(os.path.join(self.domains, f'{name}.xml'), 'w') as file:
            file.write(scattered_guests.xml(name, *pcpus))

    def plan(self, *argv):
        return self.run_command(
            'host', 'rebalance', '--dry-run', '--root', self.root,
            '--domains', self.domains, *argv,
        )  # fmt: skip

    def scatter(self):
        self.guest('a', 0, 4, 1, 5)
        self.guest('b', 2, 6, 3, 7)

    def test_a_picture_before_and_after(self):
        self.scatter()
        path = os.path.join(self.folder, 'map.svg')
        done = self.plan('--include-untuned', '--map', path)
        self.assertEqual(0, done.status, done.stderr)
        heads = etree.parse(path).xpath(
            "//*[local-name()='text'][@class='head']/text()"
        )
        self.assertEqual(
            [
                'Now: 2 L3 domains more than the fewest',
                'After moving 4 of 8 vCPUs: 0 L3 domains more than the fewest',
            ],
            heads,
        )

    def test_a_guest_of_which_threads_are_not_known_stays(self):
        self.scatter()
        path = os.path.join(self.domains, 'a.xml')
        with open(path) as file:
            text = file.read()
        topology = "<cpu><topology threads='two'/></cpu>"
        with open(path, 'w') as file:
            file.write(text.replace('</domain>', f'{topology}</domain>'))
        done = self.plan('--include-untuned')
        self.assertEqual(0, done.status, done.stderr)
        self.assertIn("threads a core of it has is not known: 'two'",
                      ' '.join(done.stdout.split()))  # fmt: skip

    def test_a_picture_takes_a_plan(self):
        done = self.run_command('host', 'rebalance', '--map', 'map.svg')
        self.assertEqual(2, done.status)
        self.assertIn('--dry-run', done.stderr)

    def test_people(self):
        self.scatter()
        done = self.plan('--include-untuned')
        self.assertEqual(0, done.status, done.stderr)
        for part in (
            'Now: 2 L3 domains more than the fewest',
            'Then: 0 L3 domains more than the fewest',
            'which is proven to be the least',
            '4 of 8 dedicated vCPUs move, in 4 steps; 2 of them',
        ):
            self.assertIn(part, ' '.join(done.stdout.split()))

    def test_programs(self):
        self.scatter()
        found = self.plan('--include-untuned', '-f', 'json').document
        self.assertEqual(
            {'before': 2, 'after': 0, 'least': 0}, found['excess']
        )
        self.assertEqual(4, len(found['moves']))
        self.assertEqual(
            [{'before': 2, 'after': 1}] * 2,
            [guest['l3_domains'] for guest in found['guests']],
        )

    def test_nothing_is_worth_moving(self):
        self.guest('a', 0, 1)
        done = self.plan('--include-untuned')
        self.assertEqual(0, done.status)
        self.assertIn('Nothing is worth moving', done.stdout)

    def test_what_stays_and_why(self):
        self.scatter()
        found = self.plan('-f', 'json').document
        self.assertEqual(0, found['moved'])
        self.assertIn('never tuned', found['guests'][0]['stays'])
        found = self.plan(
            '--include-untuned', '--keep', 'a', '-f', 'json'
        ).document
        self.assertEqual('--keep names it', found['guests'][0]['stays'])

    def test_a_budget(self):
        self.scatter()
        found = self.plan('--include-untuned', '--budget', '0%', '-f', 'json')
        self.assertEqual(0, found.document['moved'])

    def test_wrong_usage(self):
        self.scatter()
        done = self.plan('--keep', 'c')
        self.assertEqual(2, done.status)
        self.assertIn("no guest 'c'", done.stderr)
        self.assertEqual(2, self.plan('--budget', '120%').status)
        done = self.run_command(
            'host', 'rebalance', '--dry-run', '--root', self.root
        )
        self.assertEqual(2, done.status)


class DoneTest(HealingTest):
    """What is printed after an exchange."""

    def lines(self, output):
        return ' '.join(
            line for section in output.sections for line in section.lines
        )

    def test_an_exchange(self):
        planned, done = self.apply()
        output = rebalance_report.done(done, [], planned)
        self.assertIn('4 vCPUs moved, in 4 steps; 2 of', self.lines(output))
        self.assertEqual(
            ['a', 'b', 'c'], [g['guest'] for g in output.document['guests']]
        )
        self.assertTrue(output.document['changed'])

    def test_nothing_to_do(self):
        self.apply()
        planned, done = self.apply()
        output = rebalance_report.done(done, [], planned)
        self.assertIn('Nothing is worth moving', self.lines(output))
        self.assertFalse(output.document['changed'])

    def test_what_an_audit_finds(self):
        planned, done = self.apply()
        finding = Finding(Severity.ERROR, 'x/@y', '1', '2', '', 'code')
        output = rebalance_report.done(done, [('a', finding)], planned)
        self.assertIn('x/@y: want 1, found 2', self.lines(output))

    def test_history(self):
        self.apply()
        self.undo()
        found = exchange_journal.history(System(self.root))
        output = rebalance_report.history(found)
        self.assertEqual(
            [('rebalance', True), ('undo', True)],
            [
                (each['kind'], each['undone'])
                for each in output.document['exchanges']
            ],
        )
        self.assertEqual('3 to 0', output.main.rows[0][4])
        self.assertIn('No pCPUs', self.lines(rebalance_report.history([])))
