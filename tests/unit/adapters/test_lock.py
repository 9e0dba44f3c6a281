"""The lock of guests: where it lies, and the previous release's."""

import fcntl
import multiprocessing
import os

import fixtures
import testtools

from kvm_tuning.adapters import lock
from kvm_tuning.conf import libvirt as options
from kvm_tuning.core.exceptions import LockFailed
from kvm_tuning.host import configuration


class LockCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{self.folder}/lock'

    def settings(self, path, timeout=0):
        file = f'{self.folder}/c.conf'
        with open(file, 'w') as stream:
            stream.write(
                f'[libvirt]\nlock_path = {path}\nlock_timeout = {timeout}\n'
            )
        return configuration.load('/', [file])

    def held(self, path=None):
        return lock.held(self.settings(path or self.path))


class LockTest(LockCase):
    def test_a_directory_of_root_alone_is_the_default(self):
        self.assertEqual('/run/kvm-tuning', options.LOCK_PATH)

    def test_is_made_for_its_owner_alone(self):
        with self.held():
            mode = os.stat(self.path).st_mode & 0o777
            self.assertEqual(0o700, mode)
            mode = os.stat(f'{self.path}/{lock.NAME}').st_mode & 0o777
            self.assertEqual(0o600, mode)

    def test_two_threads_do_not_hold_it_both(self):
        with self.held():
            self.assertRaises(LockFailed, self.held().__enter__)
        with self.held():
            pass

    def test_a_strangers_directory(self):
        os.mkdir(self.path)
        os.chmod(self.path, 0o777)
        error = self.assertRaises(LockFailed, self.held().__enter__)
        for word in ('[libvirt] lock_path', self.path, 'everybody'):
            self.assertIn(word, str(error))
        self.assertEqual([], os.listdir(self.path))

    def test_a_link(self):
        os.mkdir(f'{self.folder}/elsewhere')
        os.symlink('elsewhere', self.path)
        error = self.assertRaises(LockFailed, self.held().__enter__)
        self.assertIn('link', str(error))
        self.assertEqual([], os.listdir(f'{self.folder}/elsewhere'))

    def test_waits_for_the_previous_release(self):
        os.mkdir(self.path, 0o755)
        context = multiprocessing.get_context('fork')
        ready, done = context.Event(), context.Event()
        process = context.Process(
            target=_hold_as_before, args=(self.path, ready, done)
        )
        process.start()
        self.addCleanup(process.join, 30)
        self.addCleanup(done.set)
        self.assertTrue(ready.wait(30))
        error = self.assertRaises(LockFailed, self.held().__enter__)
        self.assertIn('another process', str(error))


class FormerDefaultTest(LockCase):
    """The default path, with both releases' directories in a folder."""

    def setUp(self):
        super().setUp()
        self.former = f'{self.folder}/former/kvm-tuning'
        os.mkdir(f'{self.folder}/former')
        os.chmod(f'{self.folder}/former', 0o1777)
        self.useFixture(
            fixtures.MonkeyPatch(f'{lock.__name__}.LOCK_PATH', self.path)
        )
        self.useFixture(
            fixtures.MonkeyPatch(f'{lock.__name__}._FORMER_PATH', self.former)
        )
        self.logger = self.useFixture(fixtures.FakeLogger())

    def test_is_taken_too(self):
        with self.held():
            process = multiprocessing.get_context('fork').Process(
                target=_try_as_before, args=(self.former,)
            )
            process.start()
            process.join(30)
            self.assertEqual(7, process.exitcode)
        self.assertEqual('', self.logger.output)

    def test_a_stranger_who_came_first_stops_nobody(self):
        os.mkdir(f'{self.folder}/victim')
        os.symlink(f'{self.folder}/victim', self.former)
        with self.held():
            pass
        self.assertIn('not safe', self.logger.output)
        self.assertEqual([], os.listdir(f'{self.folder}/victim'))

    def test_a_file_in_its_place(self):
        with open(self.former, 'w'):
            pass
        with self.held():
            pass


def _hold_as_before(path, ready, done):
    with open(f'{path}/kvm-tuning-placement', 'a+') as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ready.set()
        done.wait(60)


def _try_as_before(path):
    with open(f'{path}/kvm-tuning-placement', 'a+') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os._exit(7)
    os._exit(0)
