"""VFs by systemd's .link and .network files."""

import os

from testtools.matchers import Equals

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov import identity, owners
from tests.fixtures.fake_cards import ADDRESS, I350
from tests.fixtures.fake_host import FakePf
from tests.unit.host.prep.groups.sriov.owner_files import (
    MAC,
    NOBODY,
    OTHER,
    OwnerFiles,
)


class TestLinks(OwnerFiles):
    etc = 'etc/systemd/network'
    lib = 'usr/lib/systemd/network'

    def link(self, match, count=4):
        return f'[Match]\n{match}\n[Link]\nSR-IOVVirtualFunctions={count}'

    def test_matches(self):
        for match, wanted in (
            ('OriginalName=enp1f0', [4]),
            ('OriginalName=enp1f01', NOBODY),
            ('OriginalName=*', [4]),
            ('OriginalName=!enp1f01', [4]),
            ('OriginalName=!enp1f0', NOBODY),
            ('OriginalName=!enp1f01 eth*', [4]),
            ('OriginalName=enp*\nOriginalName=!enp1f0', NOBODY),
            ('OriginalName=eth9\nOriginalName=\nDriver=igb', [4]),
            (f'MACAddress={OTHER} {MAC}', [4]),
            (f'MACAddress={OTHER}\nMACAddress={MAC.upper()}', [4]),
            (f'MACAddress={MAC.replace(":", "-")}', [4]),
            ('MACAddress=5254.0000.0000', [4]),
            (f'MACAddress={OTHER}', NOBODY),
            (f'PermanentMACAddress={MAC}', [4]),
            (f'PermanentMACAddress={OTHER}', NOBODY),
            (f'Path=pci-{ADDRESS}', [4]),
            ('Path=pci-0000:1[1-3]:*', [4]),
            ('Path=pci-0000:12:*', NOBODY),
            ('Driver=ixgbe igb', [4]),
            ('Driver=!igb', NOBODY),
            ('Type=ether', [4]),
            ('Type=wlan', NOBODY),
            ('Property=ID_MODEL_ID=0x1521', [4]),
            ('Property=ID_MODEL_ID=0x1572', NOBODY),
            # All properties must fit.
            (
                'Property=ID_MODEL_ID=0x1521\nProperty=INTERFACE=eth9',
                NOBODY,
            ),
            ('Property=ID_MODEL_ID=0x1521 INTERFACE=enp*', [4]),
            # A key that systemd does not know is no match.
            ('NoSuchKey=1', NOBODY),
            ('NoSuchKey=1\nDriver=igb', [4]),
            # Only systemd can judge these: it may.
            ('Host=node1', [4]),
            # A file without a match is not applied.
            ('', NOBODY),
        ):
            files = {f'{self.etc}/10-a.link': self.link(match)}
            self.assertThat(self.counts(files), Equals(wanted), match)

    def test_which_file(self):
        name = '[Match]\nMACAddress=' + MAC + '\n[Link]\nName=lan'
        ours = self.link('Driver=igb')
        drop = '[Link]\nSR-IOVVirtualFunctions=4'
        default = '[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep'
        self.check(
            (
                (
                    {
                        f'{self.etc}/10-n.link': name,
                        f'{self.etc}/20.link': ours,
                    },
                    NOBODY,
                ),
                (
                    {
                        f'{self.lib}/10-n.link': name,
                        f'{self.etc}/20.link': ours,
                    },
                    NOBODY,
                ),
                (
                    {f'{self.lib}/20.link': ours, f'{self.etc}/20.link': ''},
                    NOBODY,
                ),
                (
                    {
                        f'{self.lib}/20.link': ours,
                        f'{self.etc}/20.link': self.link('Driver=igb', 5),
                    },
                    [5],
                ),
                (
                    {
                        f'{self.lib}/99-default.link': default,
                        f'{self.etc}/99-default.link.d/vfs.conf': drop,
                    },
                    [4],
                ),
                (
                    {
                        f'{self.etc}/20.link': ours,
                        f'{self.etc}/20.link.d/1.conf': '[Link]\n'
                        'SR-IOVVirtualFunctions=6',
                        'run/systemd/network/20.link.d/2.conf': '[Link]\n'
                        'SR-IOVVirtualFunctions=7',
                    },
                    [7],
                ),
                (
                    {
                        f'{self.etc}/20.link': ours,
                        f'{self.etc}/20.link.d/1.conf': '[Match]\n'
                        'OriginalName=eth9',
                    },
                    NOBODY,
                ),
                (
                    {f'{self.etc}/20.link': f'# {ours}'.replace('\n', '\n#')},
                    NOBODY,
                ),
            )
        )

    def test_a_link_to_nothing_hides_a_file(self):
        self.build(FakePf('enp1f0', **I350))
        files = {f'{self.lib}/20.link': self.link('Driver=igb')}
        self.assertThat(self.counts(files), Equals([4]))
        os.makedirs(f'{self.root}/{self.etc}')
        os.symlink('/dev/null', f'{self.root}/{self.etc}/20.link')
        host = Host(Tree(self.root))
        port = identity.read(host, host.inventory.device[ADDRESS])
        self.assertThat(owners.find(host, port), Equals([]))

    def test_sections(self):
        match = f'[Match]\nMACAddress={MAC}\n[Link]\nName=lan'
        parts = '\n[SR-IOV]\nVirtualFunction=0\n[SR-IOV]\nVirtualFunction=3'
        self.check(
            (
                ({f'{self.etc}/10-a.link': match + parts}, [4]),
                (
                    {
                        f'{self.etc}/10-a.link': f'{match}\n'
                        f'SR-IOVVirtualFunctions=6{parts}'
                    },
                    [6],
                ),
                ({f'{self.etc}/10-a.network': match + parts}, [None]),
                (
                    {
                        f'{self.etc}/10-a.network': match,
                        f'{self.etc}/20-b.network': match + parts,
                    },
                    NOBODY,
                ),
            )
        )
