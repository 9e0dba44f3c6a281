"""``host recommend``: what it prints is a configuration."""

import os
import shutil

import fixtures

from tests.fixtures import host_dumps, memory_dir
from tests.fixtures.fake_host import FakeHost
from tests.unit.cmd.base import CommandTest

LIVE = """\
<domain type='kvm'><name>a</name><uuid>8a</uuid><vcpu>1</vcpu>
<memory unit='MiB'>64</memory><cputune><vcpupin vcpu='0' cpuset='8'/></cputune>
</domain>
"""


class RecommendTest(CommandTest):
    def place(self):
        return self.useFixture(fixtures.TempDir(memory_dir.place())).path

    def root(self, **facts):
        root = self.place()
        FakeHost(**facts).write(root)
        return root

    def recommend(self, root, *argv):
        found = self.run_command(
            'host', 'recommend', '--root', root, *argv, '-f', 'json'
        )
        self.assertEqual(0, found.status, found.stderr)
        return found.document

    def understood(self, root, text):
        """Return what the plan of the same host makes of a configuration."""
        path = self.write('recommended.conf', text)
        return self.run_command(
            '--config-file', path, 'host', 'plan', '--root', root, '-f',
            'json',
        )  # fmt: skip

    def test_the_plan_understands_it(self):
        root = self.root(cells=2, cores=8, threads=2, huge_pages={2048: 0})
        made = self.recommend(root)
        plan = self.understood(root, made['configuration'])
        self.assertIn(plan.status, (0, 1), plan.stderr)
        concerns = {each['concern'] for each in plan.document['changes']}
        self.assertLessEqual({'huge_pages'}, concerns)

    def test_for_people(self):
        root = self.root(cells=1, l3_per_cell=1, cores=4, threads=1)
        found = self.run_command('host', 'recommend', '--root', root)
        self.assertIn('[cpu_isolation]', found.stdout)
        self.assertIn('the kernel starts and stays there', found.stdout)
        self.assertIn('shared_cpus = 0\n', found.stdout)
        plan = self.understood(root, found.stdout)
        self.assertIn(plan.status, (0, 1), plan.stderr)

    def test_long_lists_are_one_line(self):
        root = self.root(cells=2, l3_per_cell=8, cores=8, threads=2)
        found = self.run_command('host', 'recommend', '--root', root)
        made = self.recommend(root)
        self.assertEqual(made['configuration'], found.stdout)
        plan = self.understood(root, found.stdout)
        self.assertIn(plan.status, (0, 1), plan.stderr)

    def test_guests_keep_their_cores(self):
        root = self.root(
            cells=1, l3_per_cell=2, cores=8, threads=1, numbering='adjacent'
        )
        before = self.recommend(root)
        self.assertIn(8, before['housekeeping_cpus'])
        domains = self.place()
        with open(os.path.join(domains, 'a.xml'), 'w') as file:
            file.write(LIVE)
        after = self.recommend(root, '--domains', domains)
        self.assertNotIn(8, after['housekeeping_cpus'])
        self.assertIn(9, after['housekeeping_cpus'])

    def test_it_changes_nothing(self):
        root = self.root(cells=1, cores=4)
        copy = os.path.join(self.place(), 'copy')
        shutil.copytree(root, copy, symlinks=True)
        self.recommend(root)
        names = sorted(
            os.path.relpath(os.path.join(folder, name), root)
            for folder, _folders, files in os.walk(root)
            for name in files
        )
        self.assertGreater(len(names), 10)
        for name in names:
            with (
                open(os.path.join(root, name), 'rb') as now,
                open(os.path.join(copy, name), 'rb') as before,
            ):
                self.assertEqual(before.read(), now.read(), name)

    def test_captured_hosts(self):
        if not host_dumps.available():
            self.skipTest(f'{host_dumps.ENVIRONMENT} is not set')
        for name in host_dumps.NAMES:
            with host_dumps.HostDump(name) as dump:
                made = self.recommend(dump.root)
                self.assertTrue(made['housekeeping_cpus'], name)
                plan = self.understood(dump.root, made['configuration'])
                self.assertIn(plan.status, (0, 1), plan.stderr)
