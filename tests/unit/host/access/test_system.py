"""What is on disk, and in which order, when files are replaced."""

import errno
import os

import fixtures
import testtools

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System


class Recorded(System):
    """Notes its points, and what it syncs, as names in the root."""

    def __init__(self, root, fails=None):
        super().__init__(root)
        self.log = []
        self.fails = fails

    def _reach(self, point):
        self.log.append(point)

    def _sync(self, handle):
        super()._sync(handle)
        path = os.readlink(f'/proc/self/fd/{handle}')
        name = os.path.relpath(path, os.path.realpath(self.root))
        self.log.append(f'sync {name}')
        if self.fails == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class DurableTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        os.mkdir(f'{self.root}/etc')

    def read(self, path):
        with open(f'{self.root}/{path}') as stream:
            return stream.read()

    def test_a_file_is_on_disk_before_it_has_its_name(self):
        system = Recorded(self.root)
        system.replace('etc/x', 'text\n')
        self.assertEqual(
            [
                'start etc/x',
                'sync etc/.x.kvm-tuning-new',
                'rename etc/x',
                'sync etc',
                'wrote etc/x',
            ],
            system.log,
        )
        self.assertEqual('text\n', self.read('etc/x'))

    def test_a_removal_is_on_disk(self):
        System(self.root).replace('etc/x', 'text\n')
        system = Recorded(self.root)
        system.remove('etc/x')
        self.assertEqual(
            ['remove etc/x', 'sync etc', 'removed etc/x'], system.log
        )

    def test_new_directories_are_on_disk_before_what_is_in_them(self):
        system = Recorded(self.root)
        system.replace('var/lib/y', 'text\n')
        self.assertEqual(
            ['sync .', 'sync var', 'start var/lib/y'], system.log[:3]
        )

    def test_what_cannot_be_synced_is_not_renamed(self):
        System(self.root).replace('etc/x', 'before\n')
        system = Recorded(self.root, fails='etc/.x.kvm-tuning-new')
        error = self.assertRaises(OSError, system.replace, 'etc/x', 'after\n')
        self.assertEqual(errno.EIO, error.errno)
        self.assertEqual('before\n', self.read('etc/x'))

    def test_a_real_sync_fails(self):
        handle = os.open(self.root, os.O_RDONLY)
        os.close(handle)
        error = self.assertRaises(OSError, System(self.root)._sync, handle)
        self.assertEqual(errno.EBADF, error.errno)


class UnreadableTest(testtools.TestCase):
    """What cannot be read is not what is missing."""

    def test_a_file_that_gives_an_error(self):
        # Nothing is mapped at its first byte
        tree = Tree('/')
        for read in (tree.text, tree.raw, tree.foreign):
            error = self.assertRaises(
                InventoryUnreadable, read, 'proc/self/mem'
            )
            self.assertIn('Input/output error', str(error))
        self.assertIsNone(tree.raw('proc/self/nothing'))

    def test_a_name_that_cannot_be(self):
        name = 'x' * 300
        for path in (name, f'{name}/x'):
            error = self.assertRaises(InventoryUnreadable, Tree('/').raw, path)
            self.assertIn('File name too long', str(error))
