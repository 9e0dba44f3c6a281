"""Who else sets the number of VFs, in whatever their files are written."""

import os

from testtools.matchers import Contains, Equals

from kvm_tuning.host.access.sysfs import MAX_BYTES, Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import rivals
from kvm_tuning.host.prep.groups import compaction
from kvm_tuning.host.prep.kinds import modprobe
from tests.unit.host.prep.groups.sriov import test_ports


class TestOwners(test_ports.SriovTest):
    def refused_by(self, path, text):
        self.build()
        self.kernel.put(path, text)
        return self.refusals(vfs={'eth0': 2})

    def test_each_owner(self):
        for name, path, text in (
            (
                'NetworkManager',
                'etc/NetworkManager/system-connections/a.nmconnection',
                '[connection]\ninterface-name=eth0\n[sriov]\ntotal-vfs=4',
            ),
            (
                'systemd-udevd',
                'etc/systemd/network/10-a.link',
                '[Match]\nDriver=igb\n[Link]\nSR-IOVVirtualFunctions=4',
            ),
            (
                'systemd-networkd',
                'etc/systemd/network/10-a.network',
                '[Match]\nName=eth*\n[SR-IOV]\nVirtualFunction=0',
            ),
            (
                'netplan',
                'etc/netplan/a.yaml',
                'network: {ethernets: {eth0: {virtual-function-count: 4}}}',
            ),
            (
                'os-net-config',
                'var/lib/os-net-config/sriov_config.yaml',
                '[{device_type: pf, name: eth0, numvfs: 4}]',
            ),
            (
                'udev',
                'etc/udev/rules.d/70-a.rules',
                'KERNEL=="eth0", ATTR{device/sriov_numvfs}="4"',
            ),
        ):
            (refusal,) = self.refused_by(path, text)
            self.assertThat(refusal, Contains(f' {name}: '))
            self.assertThat(refusal, Contains('allow = managed'))

    def test_of_another_port(self):
        self.assertThat(
            self.refused_by(
                'etc/systemd/network/10-a.link',
                '[Match]\nOriginalName=eth9\n[Link]\nSR-IOVVirtualFunctions=4',
            ),
            Equals([]),
        )

    def test_of_one_mind(self):
        self.assertThat(
            self.refused_by(
                'etc/netplan/a.yaml',
                'network: {ethernets: {eth0: {virtual-function-count: 2}}}',
            ),
            Equals([]),
        )

    def test_network_manager_has_it_up(self):
        self.build()
        self.kernel.put('sys/class/net/eth0/ifindex', 3)
        self.kernel.put(
            'run/NetworkManager/devices/3',
            '[device]\nmanaged=true\nconnection-uuid=1-2-3',
        )
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(text, Contains('resets VFs'))

    def test_foreign_rules_in_any_encoding(self):
        self.build()
        home = 'etc/udev/rules.d'
        rule = 'KERNEL=="eth0", ATTR{device/sriov_numvfs}="4"'
        self.kernel.put(f'{home}/README', rule)
        self.assertThat(self.refusals(vfs={'eth0': 2}), Equals([]))
        with open(f'{self.kernel.root}/{home}/70-a.rules', 'wb') as stream:
            stream.write(
                f'# f\xfcr {"x" * MAX_BYTES}\n{rule}'.encode('latin-1')
            )
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(text, Contains('/etc/udev/rules.d/70-a.rules'))

    def put_bytes(self, path, content):
        self.kernel.put(path, '')
        with open(f'{self.root}/{path}', 'wb') as stream:
            stream.write(content)

    def test_comments_in_any_encoding(self):
        for path, text in (
            (
                'etc/NetworkManager/system-connections/a.nmconnection',
                '# f\xfcr\n[connection]\nid=B\xfcro\n[sriov]\ntotal-vfs=4',
            ),
            (
                'etc/systemd/network/10-a.link',
                '# f\xfcr\n[Match]\nDriver=igb\n[Link]\n'
                'SR-IOVVirtualFunctions=4',
            ),
            (
                'etc/netplan/a.yaml',
                '# f\xfcr\nnetwork: {ethernets: {eth0: '
                '{virtual-function-count: 4}}}',
            ),
        ):
            self.build()
            self.put_bytes(path, text.encode('latin-1'))
            (refusal,) = self.refusals(vfs={'eth0': 2})
            self.assertThat(refusal, Contains('=4' if '=4' in text else ': 4'))
            self.assertThat(self.refusals(vfs={'eth0': 4}), Equals([]))

    def test_what_is_no_text_may_set_them(self):
        for owner, path in (
            (
                'NetworkManager',
                'etc/NetworkManager/system-connections/a.nmconnection',
            ),
            ('systemd-udevd', 'etc/systemd/network/10-a.link'),
            ('systemd-networkd', 'etc/systemd/network/10-a.network'),
            ('netplan', 'etc/netplan/a.yaml'),
            ('os-net-config', 'var/lib/os-net-config/sriov_config.yaml'),
        ):
            self.build()
            self.put_bytes(path, '[connection]\nid=a'.encode('utf-16'))
            (refusal,) = self.refusals(vfs={'eth0': 2})
            self.assertThat(
                refusal, Contains(f'{owner}: it cannot be determined')
            )
            self.assertThat(refusal, Contains(f'{path} is not UTF-8'))
            self.assertThat(refusal, Contains('allow = managed'))
            self.assertThat(
                self.rows(vfs={'eth0': 2})[0].others[0],
                Contains('is not UTF-8'),
            )

    def test_a_name_that_is_no_text(self):
        self.build()
        home = os.fsencode(f'{self.root}/etc/netplan')
        os.makedirs(home)
        with open(home + b'/f\xfcr.yaml', 'wb'):
            pass
        (refusal,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(refusal, Contains('netplan: it cannot be determined'))

    def test_tuned_in_any_encoding(self):
        self.build()
        self.kernel.put('sys/fs/cgroup/system.slice/tuned.service/x', '')
        self.kernel.put('etc/tuned/active_profile', 'own')
        self.put_bytes(
            'etc/tuned/own/tuned.conf',
            b'# f\xfcr\n[vm]\n[sysctl]\nvm.compaction_proactiveness=0',
        )
        state = compaction.read(Host(Tree(self.root)))
        (goal,) = compaction.plan(compaction.Wanted(0), state)
        self.assertThat(
            rivals.find(Host(Tree(self.root)), goal), Equals(['TuneD (own)'])
        )

    def test_modprobe_in_any_encoding(self):
        self.build()
        path = 'etc/modprobe.d/a.conf'
        self.put_bytes(path, b'# f\xfcr\noptions igb max_vfs=3')
        self.assertThat(
            modprobe.foreign(Tree(self.root), 'igb.max_vfs'),
            Equals([(path, '3')]),
        )

    def test_garbage_is_nobody(self):
        self.assertThat(
            self.refused_by('etc/netplan/a.yaml', '{{{['), Equals([])
        )
