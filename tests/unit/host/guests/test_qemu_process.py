"""Which process is a guest's QEMU, among those that say they are."""

import os

import fixtures
import testtools

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests import qemu_process
from kvm_tuning.host.guests.qemu_process import Processes
from tests.fixtures import qemu_identity

UUID = '1efff9e2-e223-41e1-b6f6-b3719f442cd6'
STRANGER = 65534


class ProcessesTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        os.makedirs(f'{self.root}/var/lib/libvirt/qemu')

    def process(self, pid, uuid=UUID, **identity):
        qemu_identity.write(self.root, pid, **identity)
        self.write(pid, 'cmdline', f'qemu\0-uuid\0{uuid}\0-nographic\0')

    def write(self, pid, name, text):
        with open(f'{self.root}/proc/{pid}/{name}', 'w') as file:
            file.write(text)

    def libvirts(self, name='web'):
        return Processes(self.root).libvirts(UUID, name)

    def claimed(self, name='web'):
        return Processes(self.root).claimed(UUID, name)

    def refused(self, *words):
        error = self.assertRaises(InventoryUnreadable, self.libvirts)
        for word in words:
            self.assertIn(word, str(error))

    def test_in_libvirts_control_group(self):
        self.process(90)
        self.assertEqual(90, self.libvirts())
        self.write(90, 'cgroup', '0::/machine/qemu-1-web.libvirt-qemu/x\n')
        self.assertEqual(90, self.libvirts())

    def test_in_libvirts_pid_file(self):
        self.process(90)
        self.write(90, 'cgroup', '0::/\n')
        self.refused('pid file', 'control group', 'nothing is changed')
        qemu_identity.list_pid(self.root, 90, 'web')
        self.assertEqual(90, self.libvirts())

    def test_a_uuid_in_capitals(self):
        self.process(90, UUID.upper())
        self.assertEqual(90, self.libvirts())

    def test_by_arguments_alone_is_a_claim(self):
        self.process(90)
        self.write(90, 'cgroup', '0::/user.slice/user-1000.slice/a.scope\n')
        self.refused('90', 'control group')
        found = self.claimed()
        self.assertEqual(90, found.pid)
        self.assertIn('control group', found.claimed)

    def test_libvirts_own_goes_before_one_that_came_first(self):
        self.process(80)
        self.write(80, 'cgroup', '0::/user.slice/user-1000.slice/a.scope\n')
        self.process(90)
        self.assertEqual(90, self.libvirts())
        self.assertIsNone(self.claimed().claimed)

    def test_a_pid_that_became_a_strangers(self):
        self.process(90, user=STRANGER)
        qemu_identity.list_pid(self.root, 90, 'web')
        self.refused('uid 65534', 'libvirt')

    def test_the_user_of_libvirt(self):
        if os.geteuid():
            self.skipTest('only root gives files to others')
        os.chown(f'{self.root}/var/lib/libvirt/qemu', STRANGER, STRANGER)
        self.process(90, user=STRANGER)
        self.assertEqual(90, self.libvirts())

    def test_a_session(self):
        self.process(90, user=STRANGER)
        os.rmdir(f'{self.root}/var/lib/libvirt/qemu')
        self.write(90, 'cgroup', '0::/user.slice/user-65534.slice/x.scope\n')
        qemu_identity.list_pid(self.root, 90, 'web')
        self.refused("a user's session")

    def test_a_pid_file_that_a_stranger_can_write(self):
        self.process(90)
        self.write(90, 'cgroup', '0::/\n')
        qemu_identity.list_pid(self.root, 90, 'web')
        os.chmod(f'{self.root}/run/libvirt/qemu', 0o777)
        self.refused('pid file')

    def test_a_pid_file_elsewhere(self):
        self.process(90)
        self.write(90, 'cgroup', '0::/\n')
        qemu_identity.list_pid(self.root, 90, 'web')
        error = self.assertRaises(
            InventoryUnreadable, self.libvirts, '../qemu/web'
        )
        self.assertIn('pid file', str(error))

    def test_a_pid_file_that_is_no_number(self):
        qemu_identity.list_pid(self.root, 'many', 'web')
        self.refused('no process')

    def test_another_program(self):
        self.process(90)
        link = f'{self.root}/proc/90/exe'
        os.unlink(link)
        self.refused('executable')
        os.symlink('/tmp/mine', link)
        self.refused('executable cannot be seen')
        os.unlink(link)
        with open(f'{self.root}/sh', 'w'):
            pass
        os.symlink('/sh', link)
        self.refused('not QEMU')
        # Neither is one that only says so.
        self.write(90, 'cgroup', '0::/\n')
        error = self.assertRaises(InventoryUnreadable, self.claimed)
        self.assertIn('not QEMU', str(error))

    def test_a_program_of_a_stranger(self):
        self.process(90)
        os.chmod(f'{self.root}/{qemu_identity.PROGRAM}', 0o777)
        self.refused('written by others')
        if os.geteuid() == 0:
            os.chmod(f'{self.root}/{qemu_identity.PROGRAM}', 0o755)
            os.chown(f'{self.root}/{qemu_identity.PROGRAM}', STRANGER, 0)
            self.refused('uid 65534')

    def test_a_program_that_was_replaced_since(self):
        self.process(90)
        link = f'{self.root}/proc/90/exe'
        os.unlink(link)
        os.symlink(f'/{qemu_identity.PROGRAM} (deleted)', link)
        self.assertEqual(90, self.libvirts())

    def test_kernel_threads_and_those_that_call_themselves_so(self):
        for pid, parent in ((200, 2), (201, 1)):
            qemu_identity.write(self.root, pid, parent=parent)
            self.write(pid, 'comm', 'vhost-90\n')
        self.assertEqual({90: (200,)}, Processes(self.root).kernels)
        kernels = qemu_process.kernels
        self.assertTrue(kernels(Process(200, self.root)))
        self.assertFalse(kernels(Process(201, self.root)))
