"""A journal that is damaged, strange or of another version."""

import json
import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength

from kvm_tuning.cmd import host_session
from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep import journal
from tests.fixtures import killed, whole_host
from tests.fixtures.command import Command


class JournalTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.command = self.useFixture(Command())
        self.kernel = whole_host.build(self.root)
        patches = {'ROOT': self.root, 'system': lambda root: self.kernel}
        for name, value in patches.items():
            self.useFixture(
                fixtures.MonkeyPatch(f'{host_session.__name__}.{name}', value)
            )
        self.assertThat(self.host('apply').status, Equals(0))
        self.path = f'{self.root}/{journal.PATH}'
        with open(self.path) as stream:
            self.text = stream.read()
        self.document = json.loads(self.text)
        self.many = len(self.document['entries'])

    def host(self, *words):
        return self.command.run('host', *words)

    def write(self, text=None):
        with open(self.path, 'w') as stream:
            stream.write(json.dumps(self.document) if text is None else text)

    def left(self):
        return journal.load(Tree(self.root), tolerant=True)

    def undo(self, *words):
        done = self.host('undo', *words)
        self.assertThat(done.stderr, Equals(''))
        self.assertThat(done.stdout.find('InternalError'), Equals(-1))
        return done

    def refused(self):
        """What adds to a journal adds to none that it cannot read."""
        done = self.host('apply')
        self.assertThat(done.status, Equals(3))
        self.assertThat(done.stderr, Contains('JournalFailed'))
        self.assertRaises(JournalFailed, journal.load, Tree(self.root))

    def test_a_kind_that_is_not_known(self):
        entry = dict(self.document['entries'][0])
        entry.update(kind='teleporter', name='sys/x', title='Teleporter')
        self.document['entries'].insert(1, entry)
        self.write()
        for words in (('apply',), ('status', '--root', self.root)):
            done = self.host(*words)
            self.assertThat(done.stderr, Equals(''))
        shown = self.undo('--dry-run')
        self.assertThat(shown.status, Equals(1))
        self.assertThat(shown.stdout, Contains('teleporter'))
        done = self.undo()
        self.assertThat(done.status, Equals(1))
        self.assertThat(done.stdout, Contains('teleporter'))
        (kept,) = self.left()
        self.assertThat(kept.kind, Equals('teleporter'))

    def test_a_later_version(self):
        self.document['version'] = journal.VERSION + 1
        self.document['entries'].append({'title': 'New', 'how': 'otherwise'})
        self.write()
        self.refused()
        done = self.undo()
        self.assertThat(done.status, Equals(1))
        self.assertThat(done.stdout, Contains("'New'"))
        self.assertThat(done.stdout, Contains('its version is'))
        with open(self.path) as stream:
            kept = json.load(stream)
        # Whoever knows it can go on with it.
        self.assertThat(kept['version'], Equals(2))
        self.assertThat(
            kept['entries'], Equals([{'title': 'New', 'how': 'otherwise'}])
        )

    def test_cut_off(self):
        self.write(self.text[: len(self.text) // 2])
        self.refused()
        whole = len(self.left())
        self.assertThat(0 < whole < self.many, Equals(True))
        (lost,) = [s for s in self.left().strange if s.raw != 'the file']
        done = self.undo()
        self.assertThat(done.status, Equals(1))
        self.assertThat(done.stdout, Contains('damaged'))
        kept = self.left()
        self.assertThat(kept, HasLength(0))
        # The broken line is still there for a person to read.
        self.assertThat([s.raw for s in kept.strange], Contains(lost.raw))

    def test_every_kind_of_nonsense(self):
        entry = self.document['entries'][0]
        wrong = [
            7,
            None,
            [],
            {},
            {**entry, 'name': '../../etc/shadow'},
            {**entry, 'name': 'etc/../../etc/shadow'},
            {**entry, 'name': '--help'},
            {**entry, 'name': 'a\nb'},
            {**entry, 'name': ''},
            {**entry, 'before': 7},
            {**entry, 'wanted': 'x' * (1 << 21)},
            {**entry, 'via': 'text'},
            {**entry, 'via': [1]},
            {**entry, 'state': 'dreaming'},
            {**entry, 'volatile': 'yes'},
            {**entry, 'kind': 'x' * 5000},
        ]
        self.document['entries'] = [*wrong, *self.document['entries']]
        self.write()
        found = self.left()
        self.assertThat(found.strange, HasLength(len(wrong)))
        self.assertThat(found, HasLength(self.many))
        self.assertThat(self.undo().status, Equals(1))
        self.assertThat(self.left(), HasLength(0))

    def test_documents_that_are_no_journal(self):
        for text in (
            '', '[]', 'null', '7', '"x"', '{', '{"version": "1"}', '[' * 9999,
            '{"version": true, "entries": []}', '\xff\x00',
            '{"version": 1, "entries": {"a": 1}}', '{"version": 1e9}',
        ):  # fmt: skip
            self.write(text)
            self.refused()
            self.assertThat(self.undo().status, Equals(1))

    def test_an_undo_of_a_whole_one_leaves_nothing(self):
        self.assertThat(self.undo().status, Equals(0))
        self.assertThat(os.path.exists(self.path), Equals(False))
