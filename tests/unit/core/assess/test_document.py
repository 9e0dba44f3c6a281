"""How a guest is set up, from the documents that its makers write."""

import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.assess import document

# As virt-install writes it and libvirt completes it.
VIRT_INSTALL = """
<domain type='kvm' id='3'><name>debian12</name>
  <uuid>0B7B3C60-6C21-4E05-8B0A-3C1F6F0D1111</uuid>
  <memory unit='KiB'>2097152</memory><vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/var/lib/libvirt/images/debian12.qcow2' index='2'/>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/><readonly/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:AA:BB:01'/><source network='default'/>
      <target dev='vnet3'/><model type='virtio'/><alias name='net0'/>
    </interface>
    <graphics type='spice' port='5900'/><memballoon model='virtio'/>
  </devices>
</domain>
"""
# As a stock Nova writes it for a flavor without extra specs.
NOVA = """
<domain type='kvm' id='7'><name>instance-00000007</name>
  <uuid>5f0e1c1a-6c3d-4f6e-9d7b-2b7a5c0f2222</uuid>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
      <nova:name>web</nova:name>
    </nova:instance>
  </metadata>
  <memory unit='KiB'>4194304</memory><vcpu placement='static'>4</vcpu>
  <iothreads>1</iothreads>
  <cputune><shares>4096</shares></cputune>
  <cpu mode='custom' match='exact'><topology sockets='4' dies='1' cores='1'
    threads='1'/></cpu>
  <devices>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writeback' discard='unmap'/>
      <source protocol='rbd' name='vms/5f0e_disk' index='1'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='fa:16:3e:00:00:01'/><source bridge='br-int'/>
      <target dev='tap0'/><model type='virtio'/>
      <driver name='vhost' queues='4'/>
    </interface>
    <interface type='hostdev' managed='yes'>
      <mac address='fa:16:3e:00:00:02'/>
      <source><address type='pci' domain='0x0000' bus='0x81' slot='0x02'
        function='0x1'/></source>
    </interface>
  </devices>
</domain>
"""
# As oVirt writes it: pins, cells, a queue map, a LUN on virtio-scsi.
OVIRT = """
<domain type='kvm' id='2' xmlns:ovirt-tune='http://ovirt.org/vm/tune/1.0'>
  <name>db</name><uuid>77f5a4e5-0000-4f6e-9d7b-2b7a5c0f3333</uuid>
  <metadata><ovirt-tune:qos/></metadata>
  <maxMemory slots='16' unit='KiB'>67108864</maxMemory>
  <memory unit='KiB'>16777216</memory>
  <vcpu placement='static' current='2' cpuset='0-7'>4</vcpu>
  <iothreadids><iothread id='4'/><iothread id='5'/></iothreadids>
  <cputune><vcpupin vcpu='0' cpuset='1'/><iothreadpin iothread='4'
    cpuset='6'/></cputune>
  <features><kvm><hint-dedicated state='on'/></kvm></features>
  <cpu><topology sockets='1' dies='1' cores='2' threads='2'/>
    <numa><cell id='0' cpus='0-3' memory='16777216' unit='KiB'/></numa></cpu>
  <devices>
    <disk type='block' device='lun' sgio='filtered'>
      <driver name='qemu' type='raw' cache='none' io='native'/>
      <source dev='/rhev/lun'/><target dev='sda' bus='scsi'/>
      <address type='drive' controller='1' bus='0' target='0' unit='0'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native' queues='4'>
        <iothreads><iothread id='4'/></iothreads></driver>
      <source dev='/rhev/x'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='vhostuser' device='disk'>
      <driver name='qemu' type='raw'/><source type='unix' path='/s'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <controller type='scsi' index='0' model='lsilogic'/>
    <controller type='scsi' index='1' model='virtio-scsi'>
      <driver queues='2' iothread='5'/></controller>
  </devices>
</domain>
"""


def read(xml):
    return document.read(domain.look(xml))


class MakersTest(testtools.TestCase):
    def test_virt_install(self):
        found = read(VIRT_INSTALL)
        self.assertEqual(
            ('debian12', '0b7b3c60-6c21-4e05-8b0a-3c1f6f0d1111', 2, True),
            (found.name, found.uuid, found.vcpus, found.kvm),
        )
        (disk,) = found.disks
        self.assertEqual(
            ('vda', 'virtio', '', '', False, None, True),
            (disk.name, disk.bus, disk.cache, disk.engine, disk.iothread,
             disk.queues, disk.local),
        )  # fmt: skip
        (nic,) = found.nics
        self.assertEqual(
            ('52:54:00:aa:bb:01', True, True, None, 1, 'vnet3'),
            (nic.name, nic.virtio, nic.tapped, nic.vhost, nic.queues,
             nic.host),
        )  # fmt: skip
        self.assertEqual({}, found.vcpu_pins)

    def test_nova(self):
        found = read(NOVA)
        (disk,) = found.disks
        self.assertFalse(disk.local)
        self.assertEqual({'1'}, found.iothreads - found.used_iothreads)
        # A VF is a passed-through device, not a slow NIC.
        (nic,) = found.nics
        self.assertEqual((True, 4), (nic.vhost, nic.queues))
        self.assertEqual(('0000:81:02.1',), found.functions)

    def test_ovirt(self):
        found = read(OVIRT)
        self.assertEqual(
            [frozenset({1}), *[frozenset(range(8))] * 3],
            [found.vcpu_pins[vcpu] for vcpu in range(4)],
        )
        self.assertEqual(frozenset({'4', '5'}), found.used_iothreads)
        self.assertEqual({4: frozenset({6})}, found.iothread_pins)
        self.assertEqual((2, 1), (found.threads, found.cells))
        self.assertTrue(found.hint_dedicated)
        disks = {each.name: each for each in found.disks}
        self.assertEqual(
            ('scsi', True, 2),
            (disks['sda'].bus, disks['sda'].iothread, disks['sda'].queues),
        )
        self.assertEqual(4, disks['vda'].queues)
        self.assertTrue(disks['vdb'].elsewhere)

    def test_emulated_scsi(self):
        found = read(OVIRT.replace("controller='1'", "controller='0'"))
        self.assertEqual('lsilogic', found.disks[0].bus)

    def test_iothreads_without_ids(self):
        found = read(
            '<domain><iothreads>3</iothreads><iothreadids>'
            "<iothread id='2'/></iothreadids></domain>"
        )
        self.assertEqual({'1', '2', '3'}, found.iothreads)
