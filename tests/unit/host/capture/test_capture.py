"""A capture answers as its host does, and gives nothing away."""

import os
import re
import stat
import tarfile

import fixtures

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.capture import filters, pack
from kvm_tuning.host.capture.masks import Masks
from tests.fixtures import host_dumps, killed, prepared, whole_host
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.unit.cmd.base import CommandTest

VIEWS = (
    ('plan', '-f', 'json'), ('status', '-f', 'json'), ('ready',),
    ('topology', '-f', 'json'), ('devices', '-f', 'json'),
)  # fmt: skip
SECRET = 'hunter2'
MAC = '3c:fd:fe:12:34:56'
UUID = '5f1d8d3c-3f4e-4c0a-9a6e-0c6a3c1f7d11'
#: Files with a secret, and what of each is kept.
FILES = (
    ('proc/cmdline', f'isolcpus=1-3 token={SECRET} root=UUID={UUID} quiet',
     'isolcpus=1-3'),
    ('boot/grub/grub.cfg',
     f'set superusers="root"\npassword_pbkdf2 root grub.{SECRET}\n'
     f'menuentry a {{\n linux /vmlinuz root=/dev/vda key={SECRET} ro\n}}\n'
     f'# {SECRET}\n', ' linux /vmlinuz root='),
    ('boot/grub/grubenv',
     f'# GRUB Environment Block\nkernelopts=ro x={SECRET}\nk={SECRET}\n',
     'kernelopts=ro x='),
    ('boot/loader/entries/a.conf',
     f'title A\noptions ro nohz_full=1 ds=nocloud;{SECRET}\n# {SECRET}\n',
     'options ro nohz_full=1 ds='),
    ('etc/default/grub',
     f'# {SECRET}\nGRUB_CMDLINE_LINUX="hugepages=8 pw={SECRET}"\n'
     f'OTHER={SECRET}\n', 'hugepages=8'),
    ('etc/kernel/cmdline', f'# {SECRET}\nro secret={SECRET} iommu=pt\n',
     'iommu=pt'),
    ('etc/netplan/50.yaml',
     f'network:\n  ethernets:\n    eth0:\n      match: {{macaddress: {MAC}}}\n'
     f'      virtual-function-count: 4\n      addresses: [{SECRET}/24]\n'
     f'      auth: {{password: {SECRET}}}\n  wifis:\n    w: {{a: {SECRET}}}\n',
     'virtual-function-count: 4'),
    ('etc/NetworkManager/system-connections/a.nmconnection',
     f'[connection]\ntype=ethernet\nid={SECRET}\n[802-1x]\n'
     f'password={SECRET}\n[sriov]\ntotal-vfs=4\n[vpn-secrets]\nx={SECRET}\n',
     'total-vfs=4'),
    ('etc/systemd/network/10-a.netdev',
     f'[NetDev]\nName=wg0\n[WireGuard]\nPrivateKey={SECRET}\n', 'Name=wg0'),
    ('etc/systemd/network/10-a.link',
     f'[Match]\nMACAddress={MAC}\n[Link]\nDescription={SECRET}\n'
     f'SR-IOVVirtualFunctions=4\n', 'SR-IOVVirtualFunctions=4'),
    ('etc/udev/rules.d/70-a.rules',
     f'ATTR{{device/sriov_numvfs}}="4"\nRUN+="/bin/x {SECRET}"\n',
     'sriov_numvfs'),
    ('etc/modprobe.d/a.conf', f'# {SECRET}\noptions igb max_vfs=7\n',
     'options igb max_vfs=7'),
    ('etc/sysctl.d/a.conf',
     f'kernel.hostname={SECRET}\nvm.nr_hugepages=4\nnet.x={SECRET}\n',
     'vm.nr_hugepages=4'),
    ('etc/tmpfiles.d/a.conf',
     f'f /etc/x - - - - {SECRET}\nw /sys/kernel/mm/ksm/run - - - - 1\n',
     'ksm/run'),
    ('etc/systemd/system/a.service.d/b.conf',
     f'[Service]\nEnvironment=TOKEN={SECRET}\nCPUAffinity=0-1\n',
     'CPUAffinity=0-1'),
    ('etc/kvm-tuning/kvm-tuning.conf',
     f'[ksm]\nrun = off\n[keystone_authtoken]\npassword = {SECRET}\n',
     'run = off'),
    ('etc/network/interfaces',
     f'iface eth0 inet static\n address {SECRET}\n'
     f' pre-up echo 4 > /sys/class/net/eth0/device/sriov_numvfs\n',
     'sriov_numvfs'),
    ('sys/class/dmi/id/product_serial', SECRET, ''),
    ('sys/block/sda/device/wwid', SECRET, ''),
    ('sys/class/net/eth0/address', MAC, '02:'),
)  # fmt: skip
#: Of no kind: left out.
OTHERS = ('etc/shadow', 'etc/machine-id', 'proc/7/environ', 'root/.ssh/id')


class CaptureTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.home = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.root = os.path.join(self.home, 'host')
        os.mkdir(self.root)

    def put(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as file:
            file.write(text)

    def captured(self, *argv):
        """Capture the host by the command, and return the unpacked tree."""
        path = os.path.join(self.home, 'c.tar.gz')
        done = self.run_command(
            'host', 'capture', path, '--root', self.root, *argv, '-f', 'json'
        )
        self.assertEqual(0, done.status, done)
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        there = os.path.join(self.home, 'there')
        with tarfile.open(path) as archive:
            # Debian 12's Python has no argument for it (PEP 706).
            archive.extraction_filter = getattr(tarfile, 'tar_filter', None)
            archive.extractall(there)
        return there

    def said(self, view, root):
        done = self.run_command('host', *view, '--root', root)
        text = f'{done.status}\n{done.stdout}{done.stderr}'
        text = text.replace(root, 'ROOT')
        text = re.sub(r'\broot=\S+', 'root=X', text)
        return re.sub(r'(?i)\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b', 'MAC', text)

    def assert_same_answers(self):
        before = prepared.snapshot(self.root)
        there = self.captured()
        self.assertEqual(before, prepared.snapshot(self.root))
        for view in VIEWS:
            said = self.said(view, self.root)
            self.assertEqual(said, self.said(view, there), view)
            # ready says nothing of a host without a configuration.
            self.assertGreater(len(said), 2 if view[0] != 'ready' else 1)

    def test_a_whole_host(self):
        whole_host.build(self.root)
        self.assert_same_answers()

    def test_cells_and_a_port(self):
        FakeHost(
            cells=2, l3_per_cell=2, cores=4, threads=2, pfs=[FakePf('eth0')]
        ).write(self.root)
        self.put('etc/kvm-tuning/kvm-tuning.conf', '[sriov]\nvfs = eth0=7\n')
        self.assert_same_answers()

    def test_real_machines(self):
        if not host_dumps.available():
            self.skipTest('KVM_TUNING_HOST_DUMPS names no dumps')
        for name in host_dumps.NAMES[:3]:
            self.root = self.useFixture(host_dumps.HostDump(name)).root
            self.home = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
            self.assert_same_answers()

    def look(self):
        tree = Tree(self.root)
        for path, *_rest in FILES:
            tree.raw(path)
        for path in OTHERS:
            tree.raw(path)

    def test_nothing_secret_goes_in(self):
        for path, text, _kept in FILES:
            self.put(path, text)
        for path in OTHERS:
            self.put(path, SECRET)
        made = pack.capture(self.root, self.look)
        for path, _text, kept in FILES:
            content = made.members[path].content.decode()
            self.assertIn(kept, content, path)
            for each in (SECRET, MAC, UUID):
                self.assertNotIn(each, content, path)
        for path in OTHERS:
            self.assertNotIn(path, made.members)
            self.assertIn('allow-list', made.left_out[path])

    def test_every_kind_is_tried(self):
        tried = {
            kind
            for kind in filters.KINDS
            for path, *_rest in FILES
            if filters.find(path) is kind.keep
        }
        self.assertGreater(len(tried), 18)

    def test_names_are_replaced_alike(self):
        masks = Masks(('node7.example.org', 'node7'))
        found = masks.text(f'{MAC} {MAC.upper()} enx{MAC.replace(":", "")}')
        first, second, third = found.split()
        self.assertEqual(first.upper(), second)
        self.assertEqual(f'enx{first.replace(":", "")}', third)
        self.assertNotIn('fd:fe', found.lower())
        self.assertEqual(
            'on host, host: node77',
            masks.text('on node7.example.org, node7: node77'),
        )
        self.assertEqual(masks.text(UUID), masks.text(UUID.upper()).lower())
        # Another capture has other names.
        self.assertNotEqual(first, Masks().text(MAC))

    def test_the_hosts_name(self):
        whole_host.build(self.root)
        self.put('proc/sys/kernel/hostname', 'secretive\n')
        self.put('etc/modprobe.d/x.conf', 'options igb max_vfs=7 # secretive')
        there = self.captured()
        for path, text in prepared.snapshot(there).items():
            self.assertNotIn('secretive', f'{path}{text}')

    def test_a_file_that_is_there_stays(self):
        whole_host.build(self.root)
        path = self.write('c.tar.gz', 'mine')
        done = self.run_command('host', 'capture', path, '--root', self.root)
        self.assertEqual(3, done.status)
        self.assertIn('File exists', done.stderr)
        with open(path) as file:
            self.assertEqual('mine', file.read())
        for words in ((), (path, '--list')):
            done = self.run_command('host', 'capture', *words)
            self.assertEqual(2, done.status)

    def test_what_is_odd_is_left_out(self):
        whole_host.build(self.root)
        for name in ('pipe', 'out', 'loop'):
            full = os.path.join(self.root, 'etc/modprobe.d', f'{name}.conf')
            os.makedirs(os.path.dirname(full), exist_ok=True)
            if name == 'pipe':
                os.mkfifo(full)
            else:
                target = '/etc/shadow' if name == 'out' else full
                os.symlink(target, full)
        self.put('etc/shadow', SECRET)
        done = self.run_command(
            'host', 'capture', '--list', '--root', self.root, '-f', 'json'
        )
        self.assertEqual(0, done.status, done)
        self.assertIn('etc/modprobe.d/out.conf', done.document['left_out'])
        packed = {each['path'] for each in done.document['files']}
        self.assertNotIn('etc/shadow', packed)
