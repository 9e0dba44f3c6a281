"""``host recommend``: what it prints is a configuration."""

import os
import stat

import fixtures

from tests.fixtures import host_dumps, memory_dir
from tests.fixtures.fake_host import FakeHost
from tests.unit.cmd.base import CommandTest

LIVE = """\
<domain type='kvm'><name>a</name><uuid>8a</uuid><vcpu>1</vcpu>
<memory unit='MiB'>64</memory><cputune><vcpupin vcpu='0' cpuset='8'/></cputune>
</domain>
"""


def state(root):
    """Return the mode, the time of change and the contents of all that is
    below a directory.
    """
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            content = None
            if stat.S_ISLNK(facts.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(facts.st_mode):
                with open(path, 'rb') as file:
                    content = file.read()
            found[path] = facts.st_mode, facts.st_mtime_ns, content
    return found


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
        """Return what the plan of the same host makes of a configuration: it
        refuses nothing. What it cannot see there is the boot loader.
        """
        path = self.write('recommended.conf', text)
        plan = self.run_command(
            '--config-file', path, 'host', 'plan', '--root', root, '-f',
            'json',
        )  # fmt: skip
        self.assertIn(plan.status, (0, 1), plan.stderr)
        self.assertEqual([], plan.document['refusals'], root)
        for unseen in plan.document['unseen']:
            self.assertIn('no known boot loader was found', unseen)
        return plan

    def test_the_plan_understands_it(self):
        root = self.root(cells=2, cores=8, threads=2, huge_pages={2048: 0})
        made = self.recommend(root)
        plan = self.understood(root, made['configuration'])
        concerns = {each['concern'] for each in plan.document['changes']}
        self.assertLessEqual({'huge_pages'}, concerns)

    def test_for_people(self):
        root = self.root(cells=1, l3_per_cell=1, cores=4, threads=1)
        found = self.run_command('host', 'recommend', '--root', root)
        self.assertIn('[cpu_isolation]', found.stdout)
        self.assertIn('the kernel starts and stays there', found.stdout)
        self.assertIn('shared_cpus = 0\n', found.stdout)
        self.understood(root, found.stdout)

    def test_long_lists_are_one_line(self):
        root = self.root(cells=2, l3_per_cell=8, cores=8, threads=2)
        found = self.run_command('host', 'recommend', '--root', root)
        made = self.recommend(root)
        self.assertEqual(made['configuration'], found.stdout)
        self.understood(root, found.stdout)

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
        before = state(root)
        self.assertGreater(len(before), 10)
        self.recommend(root)
        self.assertEqual(before, state(root))

    def test_captured_hosts(self):
        if not host_dumps.available():
            self.skipTest(f'{host_dumps.ENVIRONMENT} is not set')
        for name in host_dumps.NAMES:
            with host_dumps.HostDump(name) as dump:
                made = self.recommend(dump.root)
                self.assertTrue(made['housekeeping_cpus'], name)
                self.understood(dump.root, made['configuration'])
