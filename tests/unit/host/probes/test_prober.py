"""Probes of this machine, and of what stands in for a missing one."""

import ctypes
import errno
import os
import resource

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Is, MatchesRegex

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.site import Probe
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.probes import prober


class ProbesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def put(self, path: str, text: str) -> str:
        os.makedirs(os.path.dirname(f'{self.root}/{path}'), exist_ok=True)
        with open(f'{self.root}/{path}', 'w') as stream:
            stream.write(text)
        return f'{self.root}/{path}'


class TestAnotherHost(ProbesTest):
    def test_what_needs_a_syscall_is_unknown(self):
        self.put('proc/sys/kernel/osrelease', '5.14.0-427.el9.x86_64\n')
        found = prober.probe(
            ['/dev/vg/disk', '/images/a.qcow2', 'pool/image'],
            root=self.root,
            libvirt_version=(11, 3, 0),
        )
        why = f'the host below {self.root} is not the running one'
        for probe in (found.kvm, found.vhost_net, found.io_uring):
            self.assertThat(probe, Equals(Probe(None, why)))
        self.assertThat(found.kernel, Equals((5, 14, 0)))
        self.assertThat(found.libvirt, Equals((11, 3, 0)))
        self.assertThat(found.qemu, Is(None))
        self.assertThat(found.tap_queues, Equals(256))
        self.assertThat(
            {path: disk.kind for path, disk in found.storage.items()},
            Equals(
                {
                    '/dev/vg/disk': 'block',
                    '/images/a.qcow2': 'file',
                    'pool/image': 'network',
                }
            ),
        )
        for disk in found.storage.values():
            self.assertThat(disk.direct, Equals(Probe(None, why)))
            self.assertThat(disk.allocated, Equals(Probe(None, why)))

    def test_nothing_known(self):
        found = prober.probe(root=self.root)
        self.assertThat(found.kernel, Is(None))
        self.assertThat(found.tap_queues, Is(None))
        self.assertThat(found.storage, Equals({}))

    def test_no_such_root(self):
        self.assertRaises(
            InventoryUnreadable, prober.probe, root=f'{self.root}/none'
        )


class TestKernel(ProbesTest):
    def read(self) -> tuple[int, int, int] | None:
        return prober.read_kernel(Tree(self.root))

    def test_version(self):
        for text, wanted in (
            ('6.12.43+deb13-amd64', (6, 12, 43)),
            ('4.0-rc7', (4, 0, 0)),
            ('6', None),
            ('', None),
        ):
            self.put('proc/sys/kernel/osrelease', text)
            self.assertThat(self.read(), Equals(wanted))

    def test_other_places(self):
        self.put('proc/hwloc-nofile-info', 'OSName: Linux\nOSRelease: 5.3.0')
        self.assertThat(self.read(), Equals((5, 3, 0)))
        self.put('proc/version', 'Linux version 6.1.55 (debian) #1 SMP')
        self.assertThat(self.read(), Equals((6, 1, 55)))


class TestTransparentHugePages(ProbesTest):
    def test_the_mode_in_force(self):
        self.assertThat(self.mode(), Is(None))
        self.put(
            'sys/kernel/mm/transparent_hugepage/enabled',
            'always [madvise] never\n',
        )
        self.assertThat(self.mode(), Equals('madvise'))

    def mode(self) -> str | None:
        return prober.probe(root=self.root).transparent_huge_pages


class TestManagementNics(ProbesTest):
    """eth0 alone, eth1 in a bridge, eth2 in a bond with a VLAN; eth3 free."""

    HEAD = 'Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n'

    def setUp(self) -> None:
        super().setUp()
        for name in ('lo', 'eth0', 'eth1', 'br0', 'eth2', 'bond0', 'eth3'):
            self.put(f'sys/class/net/{name}/type', '1')
        self.put('sys/class/net/bond0.7/type', '1')
        for lower, upper in (
            ('eth1', 'br0'),
            ('eth2', 'bond0'),
            ('bond0', 'bond0.7'),
        ):
            base = f'{self.root}/sys/class/net'
            os.symlink(f'../{upper}', f'{base}/{lower}/upper_{upper}')

    def nics(self) -> set[str] | None:
        found = prober.probe(root=self.root).management_nics
        return None if found is None else set(found)

    def routes(self, *lines: str) -> None:
        self.put('proc/net/route', self.HEAD + '\n'.join(lines))

    def test_not_known_without_routes(self):
        self.assertThat(self.nics(), Is(None))

    def test_none_that_carries_nothing(self):
        self.routes()
        self.assertThat(self.nics(), Equals(set()))

    def test_directly_and_below_what_carries_it(self):
        default = '00000000 0100A8C0 0003 0 0 0 00000000 0'
        local = '0000A8C0 00000000 0001 0 0 0 00FFFFFF 0'
        self.routes(f'br0 {default}', f'br0 {local}', f'bond0.7 {local}')
        self.assertThat(
            self.nics(), Equals({'br0', 'eth1', 'bond0.7', 'bond0', 'eth2'})
        )
        self.routes(f'eth0 {default}')
        self.assertThat(self.nics(), Equals({'eth0'}))

    def test_an_address_of_ipv6_but_the_link_s_own(self):
        self.routes()
        own = f'fe80{"0" * 28} 02 40 20 80 eth0\n'
        real = f'2001{"0" * 28} 02 40 00 80 eth3\n'
        self.put('proc/net/if_inet6', own + real)
        self.assertThat(self.nics(), Equals({'eth3'}))


class TestDevices(ProbesTest):
    def test_none_there(self):
        path = f'{self.root}/none'
        for probe in (prober.probe_kvm(path), prober.probe_vhost_net(path)):
            self.assertThat(probe.works, Is(False))
            self.assertThat(probe.reason, Contains('No such file'))
            self.assertThat(probe.reason, Contains('loaded?'))

    def test_something_else_there(self):
        path = self.put('dev/thing', '')
        for probe in (prober.probe_kvm(path), prober.probe_vhost_net(path)):
            self.assertThat(probe.works, Is(False))
            self.assertThat(probe.reason, Contains('Inappropriate ioctl'))

    def test_without_a_right_it_is_unknown(self):
        if os.geteuid() == 0:
            # Root may open anything but what takes no writer.
            self.skipTest('runs as root')
        path = self.put('dev/thing', '')
        os.chmod(path, 0)
        for probe in (prober.probe_kvm(path), prober.probe_vhost_net(path)):
            self.assertThat(probe.works, Is(None))
            self.assertThat(probe.reason, Contains('Permission denied'))

    def test_kvm_of_this_machine(self):
        probe = prober.probe_kvm('/dev/kvm')
        if not os.path.exists('/dev/kvm'):
            self.assertThat(probe.works, Is(False))
        elif probe.works:
            self.assertThat(probe.reason, Equals('/dev/kvm created a VM'))
        else:
            self.assertThat(probe.reason, Contains('/dev/kvm'))

    def answer(self, *answers):
        """Have ioctl(2) answer so, one after the other."""
        left = list(answers)

        def ioctl(_handle, _request, _argument=0):
            found = left.pop(0)
            if isinstance(found, OSError):
                raise found
            return found

        self.useFixture(fixtures.MonkeyPatch('fcntl.ioctl', ioctl))

    def test_answers_of_kvm(self):
        path = self.put('dev/kvm', '')
        handle = os.open('/dev/null', os.O_RDONLY)
        refused = OSError(errno.ENOMEM, 'Cannot allocate memory')
        for answers, works, reason in (
            ((12, handle), True, f'{path} created a VM'),
            ((13,), False, f'{path} has API version 13, not 12'),
            (
                (12, refused),
                False,
                f'{path} did not create a VM: Cannot allocate memory',
            ),
        ):
            self.answer(*answers)
            probe = prober.probe_kvm(path)
            self.assertThat(
                (probe.works, probe.reason), Equals((works, reason))
            )
        # The VM is gone again
        self.assertRaises(OSError, os.fstat, handle)

    def test_answers_of_vhost_net(self):
        path = self.put('dev/vhost-net', '')
        refused = OSError(errno.EPERM, 'Operation not permitted')
        for answer, works, reason in (
            (bytes(8), True, f'{path} reported its features'),
            (
                refused,
                False,
                f'{path} did not report its features: Operation not permitted',
            ),
        ):
            self.answer(answer)
            probe = prober.probe_vhost_net(path)
            self.assertThat(
                (probe.works, probe.reason), Equals((works, reason))
            )

    def test_most_queues_of_a_tap(self):
        path = self.put('dev/tun', '')
        new, old, first = (4, 0, 0), (3, 19, 0), (3, 7, 0)
        multiqueue = (0x100).to_bytes(4, 'little')
        refused = OSError(errno.EPERM, '')
        for answer, kernel, found in (
            (multiqueue, new, 256),
            (multiqueue, old, 8),
            (multiqueue, (3, 8, 0), 8),
            (multiqueue, first, 1),
            (multiqueue, None, None),
            (bytes(4), new, 1),
            (b'\x02\x00\x00\x00', new, 1),
            (refused, new, 256),
            (refused, None, None),
        ):
            self.answer(answer)
            self.assertThat(
                prober.probe_tap_queues(path, kernel), Equals(found)
            )
        self.assertThat(
            prober.probe_tap_queues(f'{path}.none', new), Equals(256)
        )

    def test_no_handle_is_left_open(self):
        before = os.listdir('/proc/self/fd')
        prober.probe([self.put('image', 'x' * 4096), '/dev/null', '/none'])
        self.assertThat(os.listdir('/proc/self/fd'), Equals(before))


class TestTapQueues(ProbesTest):
    def test_by_kernel(self):
        for kernel, most in (
            ((3, 7, 10), 1),
            ((3, 8, 0), 8),
            ((3, 19, 8), 8),
            ((4, 0, 0), 256),
            ((6, 12, 0), 256),
        ):
            self.assertThat(prober.most_tap_queues(kernel), Equals(most))

    def test_driver_that_does_not_answer(self):
        for path in (self.put('tun', ''), f'{self.root}/none'):
            self.assertThat(
                prober.probe_tap_queues(path, (3, 10, 0)), Equals(8)
            )
            self.assertThat(prober.probe_tap_queues(path, None), Is(None))

    def test_driver_of_this_machine(self):
        if not os.access('/dev/net/tun', os.R_OK | os.W_OK):
            self.skipTest('/dev/net/tun cannot be opened')
        self.assertThat(
            prober.probe_tap_queues('/dev/net/tun', (4, 0, 0)), Equals(256)
        )


class TestIoUring(ProbesTest):
    def test_reasons(self):
        for number, disabled, why in (
            (errno.ENOSYS, None, 'built without it, or a seccomp filter'),
            (errno.EPERM, 2, 'io_uring_disabled is 2: nobody'),
            (errno.EPERM, 1, 'kernel.io_uring_group may use it'),
            (errno.EPERM, 0, 'seccomp filter or a security module'),
            (errno.EPERM, None, 'seccomp filter or a security module'),
            (errno.ENOMEM, 0, 'Cannot allocate memory'),
        ):
            probe = prober.explain_io_uring(number, disabled)
            self.assertThat(probe.works, Is(False))
            self.assertThat(probe.reason, Contains(why))

    def ring(self) -> int:
        library = ctypes.CDLL(None, use_errno=True)
        handle = library.syscall(425, 1, ctypes.create_string_buffer(120))
        if handle < 0:
            self.skipTest('this machine has no io_uring')
        os.close(handle)
        return handle

    def test_ring_of_this_machine(self):
        self.ring()
        self.put('proc/sys/kernel/io_uring_disabled', '0')
        self.assertThat(
            prober.probe_io_uring(Tree(self.root)),
            Equals(Probe(True, 'io_uring_setup worked')),
        )

    def test_ring_for_us_is_none_for_qemu(self):
        self.ring()
        self.put('proc/sys/kernel/io_uring_disabled', '1')
        probe = prober.probe_io_uring(Tree(self.root))
        self.assertThat(probe.works, Is(None))
        self.assertThat(probe.reason, Contains('kernel.io_uring_group'))

    def test_ring_that_is_refused(self):
        self.ring()
        tree = Tree(self.root)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            probe = prober.probe_io_uring(tree)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertThat(probe.works, Is(False))
        self.assertThat(probe.reason, Contains('the kernel refused it'))


class TestThisHost(ProbesTest):
    def test_all_is_asked(self):
        image = self.put('image', 'x' * 8192)
        found = prober.probe([image, image])
        for probe in (found.kvm, found.vhost_net, found.io_uring):
            self.assertThat(probe.reason, MatchesRegex('.+'))
            self.assertThat(
                probe.reason, MatchesRegex('(?!.*cannot be asked)')
            )
        self.assertThat(list(found.storage), Equals([image]))
        self.assertThat(found.storage[image].allocated.works, Is(True))
        release = os.uname().release.partition('.')[0]
        self.assertThat(str(found.kernel[0]), Equals(release))
