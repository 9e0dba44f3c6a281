"""What is read of a recorded guest, whole and with parts missing."""

import os

import testtools

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Kind, Unknown
from kvm_tuning.host.guests import observe
from tests.fixtures import recorded_guest
from tests.fixtures.recorded_guest import PID, UUID, RecordedGuest

NIC = '52:54:00:00:00:01'


class ObserveTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.guest = self.useFixture(RecordedGuest())

    def observe(self, monitor=None):
        return observe.observe(
            PID, self.guest.xml, str(self.guest.root), monitor
        )


class ThreadsTest(ObserveTest):
    def kinds(self, observed):
        return {t.tid: (t.kind, t.index) for t in observed.threads}

    def test_kinds_and_numbers(self):
        self.assertEqual(
            {
                90: (Kind.EMULATOR, None),
                92: (Kind.EMULATOR, None),
                93: (Kind.OTHER, None),
                94: (Kind.IOTHREAD, 1),
                95: (Kind.IOTHREAD, 2),
                98: (Kind.EMULATOR, None),
                99: (Kind.VCPU, 0),
                100: (Kind.VCPU, 1),
                101: (Kind.WORKER, None),
            },
            self.kinds(self.observe()),
        )

    def test_affinity(self):
        self.guest.thread(100, 'CPU 1/KVM', '1-3,8')
        cpus = {t.tid: t.cpus for t in self.observe().threads}
        self.assertEqual(frozenset({1, 2, 3, 8}), cpus[100])
        self.assertEqual(frozenset({0}), cpus[90])

    def test_vhost_in_the_process(self):
        self.guest.thread(110, f'vhost-{PID}', '0')
        kinds = self.kinds(self.observe())
        self.assertEqual((Kind.VHOST, None), kinds[110])

    def test_vhost_as_kernel_threads(self):
        for pid, name in ((200, f'vhost-{PID}'), (201, 'vhost-9')):
            folder = self.guest.folder(pid)
            (folder / 'comm').write_text(f'{name}\n')
            (folder / 'status').write_text('Cpus_allowed_list:\t2-3\n')
        vhost = [t for t in self.observe().threads if t.kind is Kind.VHOST]
        self.assertEqual([200], [t.tid for t in vhost])
        self.assertEqual(frozenset({2, 3}), vhost[0].cpus)

    def test_threads_of_the_kernel_in_the_process(self):
        for name in ('kvm-nx-lpage-re', 'iou-wrk-109', 'iou-sqp-110'):
            self.guest.thread(111, name, '0-7')
            found = self.kinds(self.observe())
            self.assertEqual((Kind.OTHER, None), found[111])

    def test_one_thread_for_all_vcpus(self):
        self.guest.thread(99, 'ALL CPUs/TCG', '0')
        self.assertEqual((Kind.VCPU, None), self.kinds(self.observe())[99])

    def nameless(self):
        index = self.guest.arguments.index('guest=probe,debug-threads=on')
        self.guest.arguments[index] = 'guest=probe'
        self.guest.save_arguments()
        for tid in recorded_guest.THREADS:
            self.guest.thread(tid, 'qemu-system-x86', '0')

    def test_without_names_nothing_is_told(self):
        self.nameless()
        kinds = self.kinds(self.observe())
        self.assertEqual((Kind.EMULATOR, None), kinds[PID])
        self.assertEqual((Kind.UNTOLD, None), kinds[99])

    def test_without_names_cgroups_tell(self):
        self.nameless()
        for tid, group in (
            (98, 'emulator'), (95, 'iothread2'), (100, 'vcpu1'),
        ):  # fmt: skip
            place = self.guest.process / 'task' / str(tid) / 'cgroup'
            place.write_text(
                f'3:cpuset:/machine/qemu-1-probe/{group}\n0::/other\n'
            )
        kinds = self.kinds(self.observe())
        self.assertEqual((Kind.EMULATOR, None), kinds[98])
        self.assertEqual((Kind.IOTHREAD, 2), kinds[95])
        self.assertEqual((Kind.VCPU, 1), kinds[100])
        self.assertEqual((Kind.UNTOLD, None), kinds[99])

    def test_the_monitor_tells(self):
        answers = {
            'query-cpus-fast': [{'cpu-index': 1, 'thread-id': 92}],
            'query-iothreads': [{'id': 'iothread7', 'thread-id': 98}],
        }
        observed = self.observe(
            lambda ask: {'return': answers[ask['execute']]}
        )
        kinds = self.kinds(observed)
        self.assertEqual((Kind.VCPU, 1), kinds[92])
        self.assertEqual((Kind.IOTHREAD, 7), kinds[98])


class MemoryTest(ObserveTest):
    def ram(self):
        return {ram.backend: ram for ram in self.observe().memory.ram}

    def test_huge_pages_of_one_cell(self):
        huge = self.ram()['ram-node0']
        self.assertEqual((0, 131072, 2048), (
            huge.cell, huge.size_kib, huge.page_kib,
        ))  # fmt: skip
        self.assertEqual(131072, huge.resident_kib)
        self.assertEqual('bind:0', huge.policy)
        self.assertEqual({0: 131072}, huge.nodes_kib)

    def test_transparent_huge_pages_of_the_other(self):
        small = self.ram()['ram-node1']
        self.assertEqual((1, 65536, 4), (
            small.cell, small.size_kib, small.page_kib,
        ))  # fmt: skip
        self.assertEqual(20480, small.resident_kib)
        self.assertEqual(20480, small.anon_huge_kib)
        self.assertIs(False, small.mergeable)

    def test_mergeable(self):
        self.guest.edit('smaps', 'dc ac dd hg', 'dc ac dd mg hg')
        self.assertIs(True, self.ram()['ram-node1'].mergeable)

    def test_a_split_block_is_one(self):
        self.guest.edit(
            'smaps',
            '7fc3f7e00000-7fc3fbe00000 rw-p 00000000 00:00 0 \n'
            'Size:              65536 kB\n',
            '7fc3f7e00000-7fc3f7f00000 rw-p 00000000 00:00 0 \n'
            'Size:               1024 kB\n'
            'KernelPageSize:        4 kB\n'
            'Rss:                1000 kB\n'
            'VmFlags: rd wr mr mw me dc ac dd mg hg \n'
            '7fc3f7f00000-7fc3fbe00000 rw-p 00000000 00:00 0 \n'
            'Size:              64512 kB\n',
        )
        small = self.ram()['ram-node1']
        self.assertEqual(21480, small.resident_kib)
        self.assertIs(True, small.mergeable)

    def test_equal_blocks_are_told_by_their_policy(self):
        self.guest.argument('ram-node0', size=64 << 20)
        self.guest.argument('ram-node1', host_nodes=[1])
        self.guest.edit(
            'smaps',
            '7fc403e00000-7fc40be00000 rw-s 00000000 00:27 48732       '
            '               /dev/hugepages/libvirt/qemu/1-probe/qemu_back_'
            'mem.ram-node0.AbCdEf (deleted)',
            '7fc403e00000-7fc407e00000 rw-p 00000000 00:00 0 ',
        )
        self.guest.edit(
            'numa_maps', '7fc3f7e00000 bind:0', '7fc3f7e00000 bind:1'
        )
        ram = self.ram()
        self.assertEqual('bind:1', ram['ram-node1'].policy)
        self.assertEqual('bind:0', ram['ram-node0'].policy)

    def test_policies_as_numa_maps_writes_them(self):
        for policy in (
            'prefer (many):0-1',
            'interleave=static:0-1',
            'weighted interleave:0-1',
            'default',
        ):
            self.guest.write(
                'numa_maps',
                f'7fc3f7e00000 {policy} anon=3 N0=1 N1=2 '
                f'kernelpagesize_kB=4\n7fc403e00000 bind:0 huge\n',
            )
            small = self.ram()['ram-node1']
            self.assertEqual(policy, small.policy)
            self.assertEqual({0: 4, 1: 8}, small.nodes_kib)

    def test_a_guest_without_backends(self):
        words = self.guest.arguments
        self.guest.arguments = ['qemu', '-m', '64M', '-name', words[2]]
        self.guest.save_arguments()
        (ram,) = self.observe().memory.ram
        self.assertEqual((None, 65536), (ram.cell, ram.size_kib))

    def test_a_dimm_that_was_plugged(self):
        words = self.guest.arguments
        place = words.index('node,nodeid=1,cpus=1,memdev=ram-node1')
        for device in (
            '{"driver":"pc-dimm","memdev":"ram-node1","id":"dimm0"}',
            'pc-dimm,memdev=ram-node1,id=dimm0',
        ):
            words[place - 1 : place + 1] = ['-device', device]
            self.guest.save_arguments()
            ram = self.ram()
            self.assertEqual({'ram-node0', 'ram-node1'}, set(ram), device)
            self.assertEqual(65536, ram['ram-node1'].size_kib)
        words[place - 1 : place + 1] = ['-device', 'virtio-rng-pci']
        self.guest.save_arguments()
        self.assertEqual({'ram-node0'}, set(self.ram()))

    def test_shared_memory_is_no_ram(self):
        self.guest.arguments += [
            '-object',
            '{"qom-type":"memory-backend-file","id":"shmmem-a","size":4096}',
        ]
        self.guest.save_arguments()
        self.assertEqual({'ram-node0', 'ram-node1'}, set(self.ram()))

    def test_a_block_that_is_not_there(self):
        self.guest.argument('ram-node1', size=123 << 20)
        ram = self.observe().memory.ram
        self.assertIn('ram-node1', ram.why)

    def test_without_numa_maps(self):
        (self.guest.process / 'numa_maps').unlink()
        small = self.ram()['ram-node1']
        self.assertIsInstance(small.policy, Unknown)
        self.assertIsInstance(small.nodes_kib, Unknown)
        self.assertEqual(4, small.page_kib)

    def test_ksm(self):
        self.guest.edit('ksm_stat', 'merging_pages 0', 'merging_pages 77')
        self.assertEqual(77, self.observe().memory.ksm.merging_pages)

    def test_without_ksm(self):
        (self.guest.process / 'ksm_stat').unlink()
        ksm = self.observe().memory.ksm
        self.assertIn('kernel does not have', ksm.why)


class DisksTest(ObserveTest):
    def disk(self, target):
        return self.observe().disks[target]

    def test_native_without_cache(self):
        disk = self.disk('vda')
        self.assertEqual('virtio-blk-pci', disk.model)
        self.assertIs(True, disk.direct)
        self.assertIs(True, disk.write_cache)
        self.assertIs(False, disk.no_flush)
        self.assertEqual('native', disk.engine)
        self.assertEqual({1: ()}, disk.iothreads)
        self.assertEqual(2, disk.queues)

    def test_io_uring_with_cache(self):
        disk = self.disk('vdb')
        self.assertIs(False, disk.direct)
        self.assertEqual('io_uring', disk.engine)
        self.assertIn('default', disk.queues.why)

    def test_a_scsi_disk_has_what_its_controller_has(self):
        disk = self.disk('sda')
        self.assertEqual('scsi-hd', disk.model)
        self.assertIs(True, disk.no_flush)
        self.assertEqual('threads', disk.engine)
        self.assertEqual({2: ()}, disk.iothreads)
        self.assertEqual(2, disk.queues)

    def test_native_that_has_fallen_back(self):
        self.guest.write('maps', '')
        self.assertIn('0 native AIO rings', self.disk('vda').engine.why)
        self.assertEqual('threads', self.disk('sda').engine)

    def test_io_uring_that_has_fallen_back(self):
        self.guest.close(16)
        self.assertIn('no io_uring', self.disk('vdb').engine.why)

    def test_one_descriptor_without_o_direct(self):
        self.guest.descriptor(40, '/srv/guest/disk0.img', 'flags:\t02100002')
        self.assertIs(False, self.disk('vda').direct)

    def test_an_image_that_is_not_open(self):
        self.guest.close(22)
        self.assertIn('disk0.img', self.disk('vda').direct.why)

    def test_a_network_disk(self):
        self.guest.edit_xml(
            "<source file='/srv/guest/disk0.img' index='3'/>",
            "<source protocol='rbd' name='pool/image'/>",
        )
        self.assertIn('no file', self.disk('vda').direct.why)

    def test_a_queue_map(self):
        self.guest.argument(
            'virtio-disk0',
            iothread=None,
            iothread_vq_mapping=[
                {'iothread': 'iothread1', 'vqs': [0]},
                {'iothread': 'iothread2', 'vqs': [1]},
            ],
        )
        self.assertEqual({1: (0,), 2: (1,)}, self.disk('vda').iothreads)

    def test_a_queue_map_of_one_iothread(self):
        """It is told from an iothread without a map."""
        self.guest.argument(
            'virtio-disk0',
            iothread=None,
            iothread_vq_mapping=[{'iothread': 'iothread1'}],
        )
        disk = self.disk('vda')
        self.assertEqual({1: tuple(range(disk.queues))}, disk.iothreads)

    def test_no_iothread(self):
        self.guest.argument('virtio-disk0', iothread=None)
        self.assertEqual({}, self.disk('vda').iothreads)

    def test_a_disk_that_was_plugged(self):
        self.guest.drop('virtio-disk0')
        disk = self.disk('vda')
        self.assertEqual('--monitor', disk.queues.needs)
        self.assertEqual('--monitor', disk.iothreads.needs)
        self.assertIs(True, disk.direct)
        # libvirt plugged what its document says; the rings are the kernel's.
        self.assertEqual('native', disk.engine)

    def test_a_plugged_disk_is_asked_of_the_monitor(self):
        self.guest.drop('virtio-disk0')
        known = {'num-queues': 4, 'iothread': '/objects/iothread2'}

        def monitor(ask):
            if ask['execute'] != 'qom-get':
                return {'return': []}
            name = ask['arguments']['property']
            if name in known:
                return {'return': known[name]}
            return {'error': {'desc': 'no such property'}}

        disk = self.observe(monitor).disks['vda']
        self.assertEqual(4, disk.queues)
        self.assertEqual({2: ()}, disk.iothreads)

    def test_an_old_drive(self):
        self.guest.drop('virtio-disk0')
        self.guest.arguments += [
            '-drive',
            'file=/srv/guest/disk0.img,if=none,id=drive-virtio-disk0,'
            'cache=unsafe,aio=threads',
            '-device',
            'virtio-blk-pci,drive=drive-virtio-disk0,id=virtio-disk0,'
            'iothread=iothread1,num-queues=4,write-cache=on',
        ]
        self.guest.save_arguments()
        disk = self.disk('vda')
        self.assertEqual('virtio-blk-pci', disk.model)
        self.assertEqual('threads', disk.engine)
        self.assertIs(True, disk.no_flush)
        self.assertEqual(4, disk.queues)
        self.assertEqual({1: ()}, disk.iothreads)


class NicsTest(ObserveTest):
    def nic(self, mac=NIC):
        return self.observe().nics[mac]

    def test_a_tap_with_two_queues(self):
        nic = self.nic()
        self.assertEqual('virtio-net-pci', nic.model)
        self.assertEqual('vnet0', nic.host)
        self.assertEqual((2, 0), (nic.queues, nic.vhost))
        self.assertEqual((512, 256), (nic.rx_ring, nic.tx_ring))

    def test_an_emulated_nic(self):
        nic = self.nic('52:54:00:00:00:02')
        self.assertEqual(('e1000', 1), (nic.model, nic.queues))
        self.assertIsInstance(nic.rx_ring, Unknown)

    def test_user_networking_has_nothing_on_the_host(self):
        nic = self.nic('52:54:00:00:00:03')
        self.assertIsInstance(nic.host, Unknown)
        self.assertEqual((1, 256), (nic.queues, nic.rx_ring))

    def vhost(self):
        for number in (33, 34):
            self.guest.descriptor(number, '/dev/vhost-net', 'flags:\t02')

    def test_vhost(self):
        self.vhost()
        self.guest.argument('hostnet0', vhost=True, vhostfds='33:34')
        self.assertEqual(2, self.nic().vhost)
        self.assertEqual(0, self.nic('52:54:00:00:00:02').vhost)

    def test_vhost_that_qemu_has_closed(self):
        self.vhost()
        self.guest.argument('hostnet0', vhost=True, vhostfds='33:34')
        self.guest.close(34)
        self.assertEqual(1, self.nic().vhost)

    def test_vhost_of_a_plugged_nic(self):
        self.vhost()
        self.guest.drop('net0')
        self.assertEqual('--monitor', self.nic().vhost.needs)
        self.assertEqual(2, self.nic().queues)

    def test_keyval_arguments(self):
        self.vhost()
        self.guest.drop('hostnet0')
        self.guest.arguments += [
            '-netdev',
            'tap,fds=30:31,id=hostnet0,vhost=on,vhostfds=33:34',
        ]
        self.guest.save_arguments()
        self.assertEqual(2, self.nic().vhost)

    def test_macvtap(self):
        self.guest.edit_xml(
            "<interface type='ethernet'>\n      <mac address='52:54:00:00:00"
            ":01'/>\n      <target dev='vnet0'/>",
            "<interface type='direct'>\n      <mac address='52:54:00:00:00"
            ":01'/>\n      <target dev='macvtap0'/>",
        )
        for number in (30, 31):
            self.guest.descriptor(number, '/dev/tap9', 'flags:\t02')
        folder = self.guest.root / 'sys/class/net/macvtap0'
        folder.mkdir(parents=True)
        (folder / 'ifindex').write_text('9\n')
        nic = self.nic()
        self.assertEqual(('macvtap0', 2), (nic.host, nic.queues))
        self.assertIn('no lower device', nic.lower.why)
        (folder / 'upper_br0').mkdir()
        (folder / 'lower_eth3').mkdir()
        self.assertEqual('eth3', self.nic().lower)

    def test_a_tap_that_is_not_open(self):
        self.guest.close(32)
        nic = self.nic('52:54:00:00:00:02')
        self.assertIn('vnet1', nic.queues.why)


class ProcessTest(ObserveTest):
    def test_another_guests_process(self):
        index = self.guest.arguments.index(UUID)
        self.guest.arguments[index] = UUID.replace('1', '2')
        self.guest.save_arguments()
        error = self.assertRaises(InventoryUnreadable, self.observe)
        self.assertIn('is the guest 2efff', str(error))

    def test_no_process(self):
        error = self.assertRaises(
            InventoryUnreadable,
            observe.observe, 7, self.guest.xml, str(self.guest.root),
        )  # fmt: skip
        self.assertIn('process 7 does not exist', str(error))

    def test_what_may_not_be_read_needs_a_capability(self):
        if os.geteuid() != 0:
            self.skipTest('only root can become somebody else')
        os.chmod(self.guest.root, 0o755)
        for name in ('smaps', 'numa_maps', 'ksm_stat'):
            os.chmod(self.guest.process / name, 0)
        os.chmod(self.guest.process / 'fd', 0)
        os.seteuid(65534)
        try:
            observed = self.observe()
        finally:
            os.seteuid(0)
        self.assertEqual('CAP_SYS_PTRACE', observed.memory.ram.needs)
        self.assertEqual('CAP_SYS_PTRACE', observed.memory.ksm.needs)
        self.assertEqual('CAP_SYS_PTRACE', observed.disks['vda'].direct.needs)
        self.assertEqual('CAP_SYS_PTRACE', observed.nics[NIC].queues.needs)
        # The threads of a process are everybody's to see.
        self.assertEqual(9, len(observed.threads))

    def test_find_by_pid_file(self):
        folder = self.guest.root / 'run/libvirt/qemu'
        folder.mkdir(parents=True)
        (folder / 'probe.pid').write_text('90\n')
        root = str(self.guest.root)
        self.assertEqual(PID, observe.find(UUID, 'probe', root))

    def test_find_past_a_stale_pid_file(self):
        folder = self.guest.root / 'run/libvirt/qemu'
        folder.mkdir(parents=True)
        (folder / 'probe.pid').write_text('4')
        (self.guest.folder(4) / 'cmdline').write_text('sleep\0')
        root = str(self.guest.root)
        self.assertEqual(PID, observe.find(UUID, 'probe', root))

    def test_find_nothing(self):
        error = self.assertRaises(
            InventoryUnreadable,
            observe.find, 'x', 'lost', str(self.guest.root),
        )  # fmt: skip
        self.assertIn('guest lost', str(error))
