"""The units of host-prep come and go."""

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
