"""What root opens: whose it is, who else may write there, and links."""

import os

import fixtures
import testtools

from kvm_tuning.host.access import locks, owned

STRANGER = 65534


class OwnedTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def make(self, path, mode=0o755, owner=None):
        full = os.path.join(self.root, path)
        os.makedirs(full, exist_ok=True)
        os.chmod(full, mode)
        if owner is not None:
            if os.geteuid():
                self.skipTest('only root gives files to others')
            os.chown(full, owner, owner)
        return full

    def put(self, path, mode=0o600):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as file:
            file.write('text')
        os.chmod(full, mode)
        return full

    def refused(self, act, *words):
        error = self.assertRaises(owned.Untrusted, act)
        for word in words:
            self.assertIn(word, error.strerror)


class TestOwners(OwnedTest):
    def test_root_the_caller_and_the_roots_owner(self):
        caller, owner = 1234, os.stat('/proc/self').st_uid
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: caller))
        root = self.useFixture(fixtures.TempDir()).path
        self.assertEqual({0, caller, owner}, owned.Owners(root).users)
        if owner == 0:
            os.chown(root, 4321, -1)
            self.assertEqual({0, caller, 4321}, owned.Owners(root).users)


class TestDirectories(OwnedTest):
    def open(self, path, **how):
        return lambda: os.close(owned.open_directory(path, self.root, **how))

    def test_ours_is_taken(self):
        self.make('a/b')
        self.open('a/b')()

    def test_a_strangers_is_refused(self):
        self.make('a', owner=STRANGER)
        self.make('a/b')
        self.refused(self.open('a'), 'uid 65534')
        self.refused(self.open('a/b'), 'uid 65534')

    def test_one_that_anybody_may_write_to(self):
        self.make('a/b')
        self.make('a', 0o777)
        self.refused(self.open('a'), 'everybody')
        self.refused(self.open('a/b'), 'everybody')

    def test_sticky_is_enough_only_on_the_way(self):
        self.make('a/b')
        self.make('a', 0o1777)
        self.open('a/b')()
        self.refused(self.open('a'), 'everybody')

    def test_the_group_of_others(self):
        path = self.make('a', 0o775)
        if os.geteuid():
            self.skipTest('only root gives files to others')
        os.chown(path, 0, STRANGER)
        self.refused(self.open('a'), 'the group 65534')
        os.chown(path, 0, 0)
        self.open('a')()

    def test_links_are_not_followed(self):
        self.make('a/b')
        os.symlink('a', f'{self.root}/link')
        self.refused(self.open('link'), 'link')
        self.refused(self.open('link/b'), 'link')
        self.refused(self.open('link/new', create=True), 'link')

    def test_links_below_a_directory_of_anybody_are_not_even_where_asked(self):
        # Temporary directories are below one that everybody may write to.
        self.make('tmp', 0o1777)
        self.make('a')
        os.symlink('../a', f'{self.root}/tmp/link')
        self.refused(self.open('tmp/link', links=True), 'link')

    def test_links_of_root_alone(self):
        self.make('run/lock')
        os.makedirs(f'{self.root}/var')
        os.symlink('/run', f'{self.root}/var/run')
        if os.geteuid():
            self.skipTest('its links are not those of root')
        self.open('var/run/lock', links=True)()
        os.lchown(f'{self.root}/var/run', STRANGER, STRANGER)
        self.refused(self.open('var/run/lock', links=True), 'link')

    def test_links_in_a_ring_come_to_an_end(self):
        os.symlink('b', f'{self.root}/a')
        os.symlink('a', f'{self.root}/b')
        self.refused(self.open('a', links=True), 'link')

    def test_does_not_climb(self):
        self.make('a')
        self.refused(self.open('a/../a'), '".."')

    def test_each_new_name_is_on_disk(self):
        calls = []

        def sync(handle):
            calls.append(sorted(os.listdir(f'/proc/self/fd/{handle}')))

        self.open('x/y/z', create=True, sync=sync)()
        self.assertEqual([['x'], ['y'], ['z']], calls)
        self.open('x/y/z', create=True, sync=sync)()
        self.assertEqual(3, len(calls))


class TestFiles(OwnedTest):
    def read(self, path, limit=100):
        return lambda: owned.read(path, limit, self.root)

    def test_ours(self):
        self.put('a/file')
        self.assertEqual(b'text', self.read('a/file')())
        self.assertIsNone(self.read('a/none')())
        self.assertIsNone(self.read('none/file')())

    def test_too_long(self):
        self.put('file')
        error = self.assertRaises(OSError, self.read('file', 3))
        self.assertIn('longer than 3 bytes', error.strerror)

    def test_what_others_may_write(self):
        self.put('file', 0o646)
        self.refused(self.read('file'), 'everybody')

    def test_links_pipes_and_hard_links(self):
        self.put('file')
        os.symlink('file', f'{self.root}/link')
        self.refused(self.read('link'), 'link')
        os.mkfifo(f'{self.root}/pipe')
        self.refused(self.read('pipe'), 'regular file')
        os.link(f'{self.root}/file', f'{self.root}/second')
        self.assertEqual(b'text', self.read('second')())
        self.refused(
            lambda: owned.open_file('second', os.O_RDWR, self.root), '2 hard'
        )


class TestLocks(OwnedTest):
    def take(self, path, **how):
        return locks.take(path, self.root, **how)

    def test_one_at_a_time(self):
        first = self.take('run/lock')
        self.assertRaises(BlockingIOError, self.take, 'run/lock')
        os.close(first)
        os.close(self.take('run/lock'))

    def test_nobody_else_can_open_it(self):
        os.close(self.take('run/lock'))
        self.assertEqual(0o600, os.stat(f'{self.root}/run/lock').st_mode & 511)
        os.chmod(f'{self.root}/run/lock', 0o644)
        self.refused(lambda: self.take('run/lock'), 'hold it for ever')

    def test_nothing_is_made_through_a_link(self):
        self.make('run')
        os.symlink('../victim', f'{self.root}/run/lock')
        self.refused(lambda: self.take('run/lock'), 'link')
        os.unlink(f'{self.root}/run/lock')
        self.make('other')
        os.rmdir(f'{self.root}/run')
        os.symlink('other', f'{self.root}/run')
        self.refused(lambda: self.take('run/lock'), 'link')
        self.assertEqual([], os.listdir(f'{self.root}/other'))
        self.assertFalse(os.path.exists(f'{self.root}/victim'))

    def test_one_that_was_removed_meanwhile_is_not_held(self):
        first = self.take('run/lock')
        os.unlink(f'{self.root}/run/lock')
        second = self.take('run/lock')
        self.assertFalse(os.path.sameopenfile(first, second))
        os.close(first)
        self.assertRaises(BlockingIOError, self.take, 'run/lock')
        os.close(second)
