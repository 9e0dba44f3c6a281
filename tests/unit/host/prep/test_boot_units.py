"""The units of host-prep come and go."""

import errno
import os

import fixtures
import testtools

from kvm_tuning.core.exceptions import SettingRejected
from kvm_tuning.host.access.installed import WANTED
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep import boot_units, removal
from kvm_tuning.host.prep.kinds.kind import UNIT
from tests.fixtures.prepared import snapshot

PROGRAM = '/opt/50%/bin/kvm-tuning'


class FullDisk(System):
    """No space is left once so many steps have been made."""

    def __init__(self, root, steps):
        super().__init__(root)
        self.steps = steps

    def _reach(self, point):
        if point.startswith(('start ', 'rename ')):
            self.steps -= 1
            if self.steps == -1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class BootUnitsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.system = System(self.root)

    def put(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as file:
            file.write(text)

    def install(self):
        return boot_units.install(self.system, PROGRAM)

    def test_installed_once_and_removed(self):
        written = self.install()
        self.assertEqual(
            sorted([*boot_units.SHIPPED.values(), f'{WANTED}/{UNIT}']),
            sorted(written),
        )
        self.assertEqual(sorted(snapshot(self.root)), sorted(written))
        text = snapshot(self.root)[f'etc/systemd/system/{UNIT}']
        self.assertIn('ExecStart=/opt/50%%/bin/kvm-tuning-host-prep ', text)
        self.assertNotIn('/usr/bin/kvm-tuning', text)
        self.assertEqual([], self.install())
        removed = boot_units.remove(self.system)
        self.assertEqual(sorted(written), sorted(removed))
        self.assertEqual({}, snapshot(self.root))
        self.assertEqual([], boot_units.remove(self.system))

    def everything(self):
        """Return the files with their modes, and the directories."""
        found = {}
        for where, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = os.path.join(where, name)
                found[path] = os.lstat(path).st_mode
        return found, snapshot(self.root)

    def assert_taken_back(self):
        """Fail at each write in turn."""
        before = self.everything()
        tried = 0
        for point in range(100):
            self.system = FullDisk(self.root, point)
            try:
                self.install()
            except SettingRejected as error:
                self.assertIn('No space left', str(error))
                self.assertNotIn('taken back', str(error))
                self.assertEqual(before, self.everything())
                tried += 1
            else:
                break
        self.assertGreater(tried, len(boot_units.SHIPPED))

    def test_an_installation_that_fails_is_taken_back(self):
        self.assert_taken_back()

    def test_what_was_there_before_comes_back(self):
        # An older release's, and a directory of the host's own.
        self.install()
        for path in boot_units.SHIPPED.values():
            self.put(path, f'{snapshot(self.root)[path]}# older\n')
            os.chmod(os.path.join(self.root, path), 0o600)
        os.unlink(os.path.join(self.root, WANTED, UNIT))
        os.rmdir(os.path.join(self.root, WANTED))
        self.assert_taken_back()

    def test_what_starts_it_goes_first(self):
        self.install()
        order = []
        remove = self.system.remove
        with fixtures.MonkeyPatch(
            'kvm_tuning.host.access.system.System.remove',
            lambda system, path: (order.append(path), remove(path)),
        ):
            boot_units.remove(self.system)
        self.assertEqual(f'{WANTED}/{UNIT}', order[0])
        self.assertEqual(len(boot_units.SHIPPED) + 1, len(order))

    def test_an_older_one_is_replaced(self):
        self.install()
        path = f'etc/systemd/system/{UNIT}'
        self.put(path, '[Unit]\nDocumentation=man:kvm-tuning(1)\n')
        self.assertEqual([path], self.install())

    def test_a_file_that_only_names_the_package_is_left_alone(self):
        for path, text in (
            (f'etc/systemd/system/{UNIT}', '# before kvm-tuning\n[Unit]\n'),
            ('etc/tmpfiles.d/kvm-tuning.conf', 'd /srv/kvm-tuning 0755\n'),
            (
                boot_units.SHIPPED['udev/99-kvm-tuning-host-prep.rules'],
                '# ENV{SYSTEMD_WANTS}+='
                '"kvm-tuning-host-prep-device.service"\n',
            ),
        ):
            self.put(path, text)
            for act in (self.install, lambda: boot_units.remove(self.system)):
                error = self.assertRaises(SettingRejected, act)
                self.assertIn(path, str(error))
                self.assertEqual({path: text}, snapshot(self.root))
            os.remove(os.path.join(self.root, path))

    def test_a_strangers_file_is_left_alone(self):
        path = boot_units.SHIPPED['udev/99-kvm-tuning-host-prep.rules']
        self.put(path, '# mine\n')
        for act in (self.install, lambda: boot_units.remove(self.system)):
            error = self.assertRaises(SettingRejected, act)
            self.assertIn(path, str(error))
            self.assertEqual({path: '# mine\n'}, snapshot(self.root))

    def test_units_of_a_package_stay_as_they_are(self):
        path = f'usr/lib/systemd/system/{UNIT}'
        self.put(path, 'a package\n')
        self.assertEqual([], self.install())
        self.assertEqual({path: 'a package\n'}, snapshot(self.root))

    def test_remove_of_everything_knows_them(self):
        written = self.install()
        found = {each.path for each in removal.find(self.system.tree())}
        self.assertLessEqual(set(written), found)
