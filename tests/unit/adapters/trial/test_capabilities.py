import os

import fixtures
import testtools

from kvm_tuning.adapters.trial import capabilities

NAME = 'a' * 64 + '.xml'
#: libvirt's own (virQEMUCapsCacheNew, below the driver's cacheDir).
BELOW = 'cache/qemu/capabilities'


class KeepTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.kept = os.path.join(self.folder(), 'kept')
        self.old, self.new = self.folder(), self.folder()
        below = os.path.join(self.old, BELOW)
        os.makedirs(below)
        with open(os.path.join(below, NAME), 'w') as file:
            file.write('<qemuCaps/>')
        with open(os.path.join(below, 'other'), 'w') as file:
            file.write('no capabilities')

    def folder(self):
        return self.useFixture(fixtures.TempDir()).path

    def restored(self):
        capabilities.restore(self.kept, self.new)
        below = os.path.join(self.new, BELOW)
        return sorted(os.listdir(below))

    def test_they_come_back(self):
        capabilities.keep(self.old, self.kept)
        self.assertEqual([NAME], self.restored())
        path = os.path.join(self.new, BELOW, NAME)
        with open(path) as file:
            self.assertEqual('<qemuCaps/>', file.read())

    def test_nothing_is_kept_yet(self):
        self.assertEqual([], self.restored())

    def test_a_folder_that_others_can_write_is_not_used(self):
        capabilities.keep(self.old, self.kept)
        os.chmod(self.kept, 0o777)
        self.assertEqual([], self.restored())

    def test_a_file_that_others_can_write_is_not_used(self):
        capabilities.keep(self.old, self.kept)
        os.chmod(os.path.join(self.kept, NAME), 0o666)
        self.assertEqual([], self.restored())

    def test_a_link_is_not_followed(self):
        os.mkdir(self.kept, 0o700)
        secret = os.path.join(self.folder(), 'secret')
        with open(secret, 'w') as file:
            file.write('not for libvirt')
        os.symlink(secret, os.path.join(self.kept, NAME))
        self.assertEqual([], self.restored())
