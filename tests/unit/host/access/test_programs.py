"""Programs of the host: one that is missing, and one that does not end."""

import time

import fixtures
import testtools
from testtools.matchers import Contains, Equals, LessThan, Not

from kvm_tuning.host.access import system
from kvm_tuning.host.access.programs import ProgramMissing
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep import journal
from kvm_tuning.host.prep.kinds import kernel_arguments
from tests.fixtures import killed, prepared, whole_host


class TestMissing(testtools.TestCase):
    def apply_without(self, program):
        root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        kernel = whole_host.build(root)
        before = prepared.snapshot(root)
        kernel.missing = (program,)
        items, terms = whole_host.items(root), whole_host.terms(root)
        done = prepared.apply(kernel, items, terms)
        self.assertThat(len(done.failed), Equals(1), done.failed)
        self.assertThat(
            done.failed[0], Not(Contains('there is no such attribute'))
        )
        return done.failed[0], root, before

    def test_update_grub(self):
        text, root, before = self.apply_without('update-grub')
        for words in (
            'the program update-grub',
            "writes GRUB's menu",
            'install the package grub2-common',
            'This setting has not been changed',
        ):
            self.assertThat(text, Contains(words))
        # All is as it was, the file that it would have read, too.
        self.assertThat(Tree(root).raw(kernel_arguments.GRUB), Equals(None))
        names = [entry.name for entry in journal.load(Tree(root))]
        self.assertThat(names, Equals([]))

    def test_systemctl(self):
        text, _root, _before = self.apply_without('systemctl')
        self.assertThat(text, Contains('install the package systemd'))

    def test_modprobe(self):
        text, _root, _before = self.apply_without('modprobe')
        self.assertThat(text, Contains('install the package kmod'))

    def test_on_this_machine(self):
        error = self.assertRaises(
            ProgramMissing, System('/').run, ['kvm-tuning-no-such-program']
        )
        self.assertThat(
            error.strerror, Contains('the program kvm-tuning-no-such-program')
        )

    def test_below_another_root(self):
        root = self.useFixture(fixtures.TempDir()).path
        error = self.assertRaises(OSError, System(root).require, 'true')
        self.assertThat(str(error), Contains('for a root other than'))


class TestRuns(testtools.TestCase):
    def test_in_time(self):
        System('/').run(['true'])
        error = self.assertRaises(
            OSError, System('/').run, ['ls', '/no/such/place']
        )
        self.assertThat(str(error), Contains('/no/such/place'))

    def test_too_long(self):
        self.patch(system, '_COMMAND_SECONDS', 0.05)
        self.assertRaises(TimeoutError, System('/').run, ['sleep', '30'])

    def test_what_does_not_die_is_not_waited_for(self):
        """Its pipes stay open as they do while it sleeps in the kernel."""
        self.patch(system, '_COMMAND_SECONDS', 0.05)
        self.patch(system, '_KILLED_SECONDS', 0.05)
        start = time.monotonic()
        command = ['sh', '-c', 'sleep 8 & wait']
        self.assertRaises(TimeoutError, System('/').run, command)
        self.assertThat(time.monotonic() - start, LessThan(5))
