"""Writes that may never return."""

import errno
import os
import time

import testtools
from testtools.matchers import Equals, LessThan

from kvm_tuning.host.access import blocking


class TestCall(testtools.TestCase):
    def test_returns(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        blocking.call(lambda: os.write(writer, b'x') and None, 10)
        os.close(writer)
        self.assertThat(os.read(reader, 9), Equals(b'x'))

    def test_errno_comes_back(self):
        def act():
            raise OSError(errno.ERANGE, 'too many')

        error = self.assertRaises(OSError, blocking.call, act, 10)
        self.assertThat(error.errno, Equals(errno.ERANGE))

    def test_gives_up_in_time(self):
        start = time.monotonic()
        self.assertRaises(
            TimeoutError, blocking.call, lambda: time.sleep(60), 0.1
        )
        self.assertThat(time.monotonic() - start, LessThan(10))

    def test_a_child_that_is_killed_is_an_error(self):
        self.assertRaises(
            OSError, blocking.call, lambda: os.kill(os.getpid(), 9), 10
        )

    def test_leaves_no_zombie(self):
        blocking.call(lambda: None, 10)
        self.assertRaises(ChildProcessError, os.waitpid, -1, os.WNOHANG)
