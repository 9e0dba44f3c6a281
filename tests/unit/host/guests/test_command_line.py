"""How a guest is set up, from the arguments that its makers write."""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.assess import document
from kvm_tuning.host.guests import command_line, qemu_args
from tests.fixtures import recorded_guest
from tests.fixtures.assessed_guest import AssessedGuest

# As qm(1) starts a guest: key=value lists, ids of its own, no libvirt.
PROXMOX = """
/usr/bin/kvm -id 100 -name web1,debug-threads=on -no-shutdown
-smbios type=1,uuid=4C1E3F5A-0C52-4F0B-9C3E-0D7B0B2F7A11
-smp 4,sockets=2,cores=2,maxcpus=4 -nodefaults
-cpu host,+kvm_pv_eoi,+kvm_pv_unhalt -m 8192
-object iothread,id=iothread-virtioscsi0
-object memory-backend-ram,id=ram-node0,size=4096M
-numa node,nodeid=0,cpus=0-1,memdev=ram-node0
-device vfio-pci,host=0000:81:00.2,id=hostpci0,bus=pci.0,addr=0x10
-device virtio-scsi-pci,id=virtioscsi0,bus=pci.3,iothread=iothread-virtioscsi0
-drive file=/dev/pve/disk0,if=none,id=drive-scsi0,cache=none,aio=io_uring
-device scsi-hd,bus=virtioscsi0.0,scsi-id=0,drive=drive-scsi0,id=scsi0
-drive file=/iso/x.iso,if=none,id=drive-ide2,media=cdrom
-device ide-cd,bus=ide.1,unit=0,drive=drive-ide2,id=ide2
-drive file=/dev/pve/vm-100-disk-1,if=none,id=drive-sata0
-device ide-hd,bus=ahci0.0,drive=drive-sata0,id=sata0
-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/ovmf.fd
-netdev type=tap,id=net0,ifname=tap100i0,vhost=on,queues=2
-device virtio-net-pci,mac=BC:24:11:00:00:01,netdev=net0,id=net0,mq=on
-netdev type=tap,id=net1,ifname=tap100i1
-device rtl8139,mac=BC:24:11:00:00:02,netdev=net1,id=net1
-machine type=q35+pve0 -enable-kvm
"""
# The block devices of Proxmox VE 9: a throttle above nested nodes.
NESTED = (
    '{"driver":"throttle","node-name":"drive-scsi0","throttle-group":"t",'
    '"file":{"driver":"qcow2","cache":{"direct":false,"no-flush":true},'
    '"file":{"driver":"file","aio":"threads","filename":"/x.qcow2",'
    '"cache":{"direct":false,"no-flush":true}}}}'
)


def read(*words):
    raw = ''.join(f'{word}\0' for word in words).encode()
    return command_line.read(qemu_args.parse(raw))


class ProxmoxTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.setup_ = read(*PROXMOX.split())

    def test_who_it_is(self):
        found = self.setup_
        self.assertEqual('web1', found.name)
        self.assertEqual('4c1e3f5a-0c52-4f0b-9c3e-0d7b0b2f7a11', found.uuid)
        self.assertTrue(found.kvm)
        self.assertEqual(4, found.vcpus)
        self.assertEqual(8192 << 10, found.memory_kib)
        self.assertEqual((None, 1), (found.threads, found.cells))
        self.assertFalse(found.hint_dedicated)
        self.assertEqual(('0000:81:00.2',), found.functions)

    def test_disks(self):
        found = {each.name: each for each in self.setup_.disks}
        self.assertEqual({'scsi0', 'sata0'}, set(found))
        scsi = found['scsi0']
        self.assertEqual(
            ('scsi', 'none', 'io_uring', True),
            (scsi.bus, scsi.cache, scsi.engine, scsi.iothread),
        )
        self.assertEqual('ide', found['sata0'].bus)
        self.assertEqual(self.setup_.iothreads, self.setup_.used_iothreads)

    def test_nics(self):
        first, second = self.setup_.nics
        self.assertEqual(
            (True, True, 2, 'tap100i0'),
            (first.virtio, first.vhost, first.queues, first.host),
        )
        self.assertEqual(
            (False, 'rtl8139', False),
            (second.virtio, second.model, second.vhost),
        )


class OtherMakersTest(testtools.TestCase):
    def disk(self, *words):
        (found,) = read('qemu-system-x86_64', *words).disks
        return found

    def test_a_shell(self):
        found = read(
            'qemu-system-x86_64', '-accel', 'tcg', '-m', 'size=1G',
            '-smp', 'cpus=6,sockets=1,cores=3,threads=2',
            '-hda', '/x.img', '-drive', 'file=/y.img,if=virtio,cache=unsafe',
            '-nic', 'user,model=virtio-net-pci', '-nic', 'none',
        )  # fmt: skip
        self.assertEqual(
            (6, 2, False), (found.vcpus, found.threads, found.kvm)
        )
        self.assertEqual(1 << 20, found.memory_kib)
        self.assertEqual(
            [('virtio', 'unsafe'), ('ide', '')],
            [(each.bus, each.cache) for each in found.disks],
        )
        self.assertEqual([True], [each.virtio for each in found.nics])

    def test_a_size_by_its_topology_and_plugged_vcpus(self):
        found = read(
            'kvm', '-smp', 'sockets=2,cores=2,threads=2',
            '-device', 'host-x86_64-cpu,id=cpu9',
        )  # fmt: skip
        self.assertEqual(9, found.vcpus)
        self.assertEqual(1, read('kvm').vcpus)

    def test_nested_block_nodes(self):
        found = self.disk(
            '-blockdev', NESTED, '-device', 'scsi-hd,drive=drive-scsi0,id=s0'
        )
        self.assertEqual(
            ('unsafe', 'threads', True),
            (found.cache, found.engine, found.local),
        )

    def test_nodes_that_name_each_other(self):
        words = []
        for one, other in (('a', 'b'), ('b', 'a')):
            node = f'{{"driver":"raw","node-name":"{one}","file":"{other}"}}'
            words += ['-blockdev', node]
        found = self.disk(*words, '-device', 'virtio-blk-pci,drive=a')
        self.assertFalse(found.local)

    def test_emulated_scsi(self):
        found = self.disk(
            '-device', 'lsi53c895a,id=scsihw0',
            '-drive', 'file=/x,if=none,id=d', '-device',
            'scsi-hd,bus=scsihw0.0,drive=d',
        )  # fmt: skip
        self.assertEqual('lsi53c895a', found.bus)

    def test_a_disk_of_a_network(self):
        found = self.disk(
            '-drive', 'file=rbd:pool/x,if=none,id=d',
            '-device', 'virtio-blk-pci,drive=d',
        )  # fmt: skip
        self.assertFalse(found.local)

    def test_queue_maps(self):
        for device in (
            '{"driver":"virtio-blk-pci","drive":"d","iothread-vq-mapping":'
            '[{"iothread":"a"},{"iothread":"b"}]}',
            'virtio-blk-pci,drive=d,iothread-vq-mapping.0.iothread=a,'
            'iothread-vq-mapping.1.iothread=b',
        ):
            found = read('kvm', '-device', device)
            self.assertEqual({'a', 'b'}, found.used_iothreads)

    def test_an_absurd_size(self):
        self.assertEqual(16384, read('kvm', '-smp', '9' * 15).vcpus)

    def test_pci_addresses(self):
        found = read(
            'kvm', '-device', 'vfio-pci,host=3b:00.0',
            '-device', 'vfio-pci,sysfsdev=/sys/bus/pci/devices/0001:00:02.0',
            '-device', 'vfio-pci-nohotplug,sysfsdev=/sys/bus/mdev/devices/x',
        )  # fmt: skip
        self.assertEqual(('0000:3b:00.0', '0001:00:02.0'), found.functions)


class SameGuestTest(testtools.TestCase):
    def test_document_and_arguments_agree(self):
        by_xml = document.read(domain.look(recorded_guest.text('live.xml')))
        by_args = read(*recorded_guest.text('cmdline').splitlines())
        for name in ('name', 'uuid', 'vcpus', 'memory_kib', 'kvm', 'threads',
                     'cells', 'hint_dedicated', 'functions'):  # fmt: skip
            self.assertEqual(
                getattr(by_xml, name), getattr(by_args, name), name
            )
        self.assertEqual(
            [(d.bus, d.cache, d.engine, d.iothread, d.queues)
             for d in by_xml.disks],
            [(d.bus, d.cache, d.engine, d.iothread, d.queues)
             for d in by_args.disks],
        )  # fmt: skip
        self.assertEqual(
            [(n.name, n.virtio, n.tapped, n.queues) for n in by_xml.nics],
            [(n.name, n.virtio, n.tapped, n.queues) for n in by_args.nics],
        )


class GarbageTest(testtools.TestCase):
    @settings(deadline=None, max_examples=80, derandomize=True)
    @given(st.data())
    def test_any_bytes(self, data):
        raw = ''.join(f'{w}\0' for w in AssessedGuest().arguments).encode()
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(start + 30, len(raw))))
        piece = data.draw(
            st.sampled_from([b'', b'\0', b'[]', b'{}', b'-1', b'9' * 400,
                             b'null', b'\xff', b'=', b',,'])
        )  # fmt: skip
        found = command_line.read(
            qemu_args.parse(raw[:start] + piece + raw[end:])
        )
        self.assertGreater(found.vcpus, -1)
