"""Files of ours that cannot be written or removed are named."""

import os

import fixtures
import testtools

from kvm_tuning.core.exceptions import SettingRejected
from kvm_tuning.host.access import installed
from kvm_tuning.host.access.system import System

OURS = installed.Mark(lambda raw: b'ours' in raw, 'the word ours')
FILE = installed.File('etc/a/file', 'ours', 0o640)
LINK = f'{installed.WANTED}/x.service'


class InstalledTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.system = System(self.root)

    def install(self, unit='x.service'):
        return installed.install(self.system, [FILE], OURS, unit)

    def fail(self, name):
        def refused(*_arguments, **_more):
            raise OSError(28, 'No space left on device', 'the file')

        self.useFixture(fixtures.MonkeyPatch(name, refused))

    def test_twice(self):
        self.assertEqual([FILE.path, LINK], self.install())
        path = os.path.join(self.root, FILE.path)
        self.assertEqual(0o640, os.stat(path).st_mode & 0o777)
        self.assertEqual(
            f'/{installed.UNITS}/x.service',
            os.readlink(os.path.join(self.root, LINK)),
        )
        self.assertEqual([], self.install())

    def test_a_unit_that_does_not_start_at_boot(self):
        self.assertEqual([FILE.path], self.install(unit=None))
        self.assertFalse(os.path.exists(os.path.join(self.root, LINK)))

    def test_what_cannot_be_linked(self):
        self.fail('os.symlink')
        error = self.assertRaises(SettingRejected, self.install)
        self.assertEqual('the file: No space left on device', str(error))

    def test_what_cannot_be_removed(self):
        self.install()
        self.fail('os.unlink')
        error = self.assertRaises(
            SettingRejected,
            installed.remove,
            self.system,
            [FILE.path],
            OURS,
            'x.service',
        )
        self.assertIn('No space left on device', str(error))

    def test_there_and_removed_the_link_first(self):
        self.assertEqual(
            [],
            installed.there(self.system, [FILE.path], OURS, 'x.service'),
        )
        self.install()
        gone = []
        remove = self.system.remove
        self.system.remove = lambda path: (gone.append(path), remove(path))
        found = installed.remove(self.system, [FILE.path], OURS, 'x.service')
        self.assertEqual([FILE.path, LINK], found)
        self.assertEqual([LINK, FILE.path], gone)

    def test_somebody_elses_stays(self):
        path = os.path.join(self.root, FILE.path)
        os.makedirs(os.path.dirname(path))
        with open(path, 'w') as file:
            file.write('theirs')
        for act in (
            self.install,
            lambda: installed.remove(
                self.system, [FILE.path], OURS, 'x.service'
            ),
        ):
            error = self.assertRaises(SettingRejected, act)
            self.assertIn('the word ours', str(error))
        with open(path) as file:
            self.assertEqual('theirs', file.read())

    def test_a_program_with_what_systemd_reads(self):
        self.assertEqual("'/a b/%%c'", installed.in_unit('/a b/%c'))
