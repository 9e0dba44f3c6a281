"""What a host setting costs, and that the page about it is all it takes."""

import json

import fixtures
import testtools

from tests.fixtures import host_costs
from tests.fixtures.page_copy import TOP, PageCopy

PAGE = 'doc/source/contributor/host_settings.rst'
PARTS = (
    'kvm_tuning', 'tests/__init__.py', 'tests/fixtures',
    'tests/host_settings', 'doc/source/admin/host_settings.rst',
    'releasenotes/notes',
)  # fmt: skip
TABLE = host_costs.TABLE
#: Plans, applies and undoes everything on the whole host; prints what of it
#: is the new setting's.
RUN = """
import json, sys
from kvm_tuning.cmd import main
from tests.fixtures import prepared, whole_host
root, path, title = sys.argv[1:]
kernel = whole_host.build(root)
found = [kernel.get(path)]
main.main(['host', 'plan', '--root', root, '-f', 'json'])
items, terms = whole_host.items(root), whole_host.terms(root)
done = prepared.apply(kernel, items, terms)
found.append(kernel.get(path))
main.main(['host', 'status', '--root', root, '-f', 'json'])
done.failed += prepared.take_back(kernel, terms).failed
found.append(kernel.get(path))
print(json.dumps({'found': found, 'failed': done.failed}))
"""


class ThisTreeTest(testtools.TestCase):
    def test_nothing_is_left_out(self):
        lacking = list(host_costs.left_out(TOP))
        if lacking:
            self.fail('\n'.join(lacking))


class PageTest(testtools.TestCase):
    """The steps of the page in a copy of the tree, all of them or all but
    one.
    """

    def setUp(self):
        super().setUp()
        self.copy = self.useFixture(PageCopy(PAGE, PARTS, {TABLE: patched}))

    def python(self, *words):
        done = self.copy.python(*words)
        self.assertEqual('', done.stderr)
        return done

    def left_out(self, path=None):
        """Return what is said when the step about ``path`` is left out."""
        self.copy.follow(path)
        done = self.python('-m', 'tests.fixtures.host_costs')
        self.assertEqual(bool(done.stdout.strip()), bool(done.returncode))
        return done.stdout.strip().splitlines()

    def test_the_page_has_five_steps(self):
        self.assertEqual(5, len(self.copy.steps))

    def test_nothing_is_left_out(self):
        self.assertEqual([], self.left_out())

    def test_it_is_planned_applied_shown_and_undone(self):
        self.copy.follow()
        root = self.useFixture(fixtures.TempDir()).path
        path, title = 'proc/sys/kernel/numa_balancing', 'NUMA balancing'
        done = self.python('-c', RUN, root, path, title)
        self.assertEqual(0, done.returncode, done.stdout)
        plan, status, rest = documents(done.stdout)
        self.assertEqual({'found': ['1', '0', '1'], 'failed': []}, rest)
        (change,) = (c for c in plan['changes'] if c['setting'] == title)
        self.assertEqual(('1', '0'), (change['is'], change['will_be']))
        (row,) = (row for row in status if row['setting'] == title)
        self.assertEqual(('0', '0'), (row['wanted'], row['running']))

    def test_the_module_is_left_out(self):
        (line,) = self.left_out(f'{host_costs.GROUPS}/numa.py')
        self.assertIn('there is no kvm_tuning/host/prep/groups/numa.py', line)

    def test_the_entry_is_left_out(self):
        (line, *_) = self.left_out(TABLE)
        self.assertIn('has no entry numa.GROUP in GROUPS', line)

    def test_the_whole_host_test_is_left_out(self):
        (line,) = self.left_out(host_costs.SAMPLES)
        self.assertIn('[numa] has no whole-host test of balancing', line)

    def test_the_section_is_left_out(self):
        (line,) = self.left_out('doc/source/admin')
        self.assertIn('[numa] has no section', line)
        self.assertIn('_host-numa', line)

    def test_the_release_note_is_left_out(self):
        (line,) = self.left_out('releasenotes')
        self.assertIn('[numa] has no release note', line)


def documents(text):
    """Yield the JSON documents in ``text``, one after the other."""
    while text := text.strip():
        found, end = json.JSONDecoder().raw_decode(text)
        text = text[end:]
        yield found


def patched(text, diff):
    """Return ``text`` with the lines that ``diff`` adds, each after the line
    before it.
    """
    lines, place = text.splitlines(), 0
    for line in diff.splitlines():
        if line.startswith('+'):
            place += 1
            lines.insert(place, line[1:])
        else:
            place = lines.index(line[1:], place)
    return '\n'.join(lines) + '\n'
