"""``host assess``: the host itself, its guests, and a sum."""

import os

import fixtures

from tests.fixtures import memory_dir
from tests.fixtures.assessed_guest import HOST, AssessedGuest
from tests.unit.cmd.base import CommandTest


class HostAssessTest(CommandTest):
    def setUp(self):
        super().setUp()
        place = memory_dir.place()
        self.root = self.useFixture(fixtures.TempDir(place)).path
        HOST.write(self.root)

    def put(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)

    def assess(self, *argv):
        return self.run_command('host', 'assess', '--root', self.root, *argv)

    def codes(self):
        document = self.assess('-f', 'json').document
        return {each['code']: each['evidence'] for each in document['host']}

    def test_a_host_without_anything(self):
        found = self.assess()
        self.assertEqual(0, found.status, found.stderr)
        self.assertEqual(
            ['Host', 'nothing found', '', 'no guest runs'],
            found.stdout.splitlines(),
        )

    def test_ksm_across_cells(self):
        for run, across, cells in (
            ('1', '1', True), ('0', '1', False), ('1', '0', False),
            ('2', '1', False),
        ):  # fmt: skip
            self.put('sys/kernel/mm/ksm/run', f'{run}\n')
            self.put('sys/kernel/mm/ksm/merge_across_nodes', f'{across}\n')
            self.assertEqual(
                cells, 'host-merges-across-cells' in self.codes(), run
            )

    def test_no_huge_pages_of_any_kind(self):
        path = 'sys/kernel/mm/transparent_hugepage/enabled'
        self.put(path, 'always [madvise] never\n')
        self.assertEqual({}, self.codes())
        self.put(path, 'always madvise [never]\n')
        self.assertEqual({'host-no-huge-pages'}, set(self.codes()))

    def test_what_is_configured_and_is_not_there(self):
        self.put('sys/kernel/mm/ksm/run', '1\n')
        self.put('etc/kvm-tuning/kvm-tuning.conf', '[ksm]\nrun = off\n')
        found = self.assess()
        self.assertEqual(1, found.status)
        self.assertIn('- error host-not-ready: [ksm]', found.stdout)

    def test_a_sum(self):
        # Two on the same pCPUs, and one whose flushes are ignored.
        AssessedGuest('a').write(self.root)
        AssessedGuest('b', 2000).write(self.root)
        AssessedGuest(
            'c', 3000, ('3', '19', '18', '7'),
            drive={'cache': {'no-flush': True}},
        ).write(self.root)  # fmt: skip
        document = self.assess('-f', 'json').document
        number = {each['code']: each['findings'] for each in document['codes']}
        self.assertEqual(2, number['pcpu-shared'])
        self.assertEqual(1, number['disk-unsafe'])
        self.assertNotIn('foreign-threads', number)
        severities = [each['severity'] for each in document['codes']]
        self.assertEqual(
            sorted(severities, key=('error', 'warning', 'info').index),
            severities,
        )
        shown = self.assess().stdout
        self.assertRegex(shown, r'pcpu-shared +error +2  another guest')
        self.assertEqual(
            1, self.assess('--fail-on', 'error', '-f', 'csv').status
        )
