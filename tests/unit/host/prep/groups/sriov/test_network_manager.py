"""VFs by NetworkManager: its configuration and its profiles."""

from testtools.matchers import Equals

from tests.fixtures.fake_cards import ADDRESS
from tests.unit.host.prep.groups.sriov.owner_files import (
    MAC,
    NOBODY,
    OTHER,
    OwnerFiles,
)


class TestNetworkManager(OwnerFiles):
    conf = 'etc/NetworkManager/conf.d/10-vfs.conf'
    home = 'etc/NetworkManager/system-connections'

    def test_match_device(self):
        for match, wanted in (
            ('interface-name:enp1f0', [4]),
            ('interface-name:enp1f*', [4]),
            ('interface-name:=enp1f*', NOBODY),
            ('interface-name:~enp?f0', [4]),
            ('interface-name:enp1f01', NOBODY),
            (f'mac:{MAC.upper()}', [4]),
            (f'mac:{OTHER}', NOBODY),
            ('driver:igb', [4]),
            ('driver:ixgbe', NOBODY),
            ('type:ethernet', [4]),
            ('type:wifi', NOBODY),
            ('*', [4]),
            ('*,except:interface-name:enp1f0', NOBODY),
            ('except:interface-name:enp1f01', [4]),
            ('enp1f0', [4]),
            (f'interface-name:eth9;mac:{MAC}', [4]),
        ):
            text = f'[device-pf]\nmatch-device={match}\nsriov-num-vfs=4'
            self.assertThat(
                self.counts({self.conf: text}), Equals(wanted), match
            )

    def test_files_in_their_order(self):
        vfs = '[{}]\nsriov-num-vfs={}'.format
        main = 'etc/NetworkManager/NetworkManager.conf'
        lib = 'usr/lib/NetworkManager/conf.d'
        self.check(
            (
                ({main: vfs('device', 3)}, [3]),
                ({main: vfs('device', 3), self.conf: vfs('device', 5)}, [5]),
                (
                    {
                        main: vfs('device', 3),
                        f'{lib}/z.conf': vfs('device', 5),
                    },
                    [3],
                ),
                # A file of /etc hides that of its name.
                (
                    {f'{lib}/10-vfs.conf': vfs('device', 3), self.conf: ''},
                    NOBODY,
                ),
                # Sections of later files come first, [device] last.
                (
                    {
                        self.conf: vfs('device-a', 3),
                        'etc/NetworkManager/conf.d/20.conf': vfs(
                            'device-b', 5
                        ),
                    },
                    [5],
                ),
                (
                    {self.conf: f'{vfs("device", 3)}\n{vfs("device-a", 5)}'},
                    [5],
                ),
                (
                    {self.conf: f'{vfs("device-b", 3)}\n{vfs("device-a", 5)}'},
                    [3],
                ),
                (
                    {
                        self.conf: f'[device-a]\nstop-match=yes\n'
                        f'{vfs("device-b", 5)}'
                    },
                    NOBODY,
                ),
                (
                    {
                        self.conf: '[.config]\nenable=false\n'
                        + vfs('device', 3)
                    },
                    NOBODY,
                ),
            )
        )

    def profile(self, text, name='a.nmconnection', home=None):
        return {
            f'{home or self.home}/{name}': '[connection]\nid=a\n'
            'type=ethernet\n' + text
        }

    def test_profiles(self):
        vfs = '\n[sriov]\ntotal-vfs=4'
        self.check(
            (
                (self.profile(f'interface-name=enp1f0{vfs}'), [4]),
                (self.profile(f'interface-name=enp1f01{vfs}'), NOBODY),
                (self.profile(f'[ethernet]\nmac-address={MAC}{vfs}'), [4]),
                (
                    self.profile(f'[ethernet]\nmac-address={OTHER}{vfs}'),
                    NOBODY,
                ),
                (
                    self.profile(
                        f'[802-3-ethernet]\nmac-address={OTHER.upper()}{vfs}'
                    ),
                    NOBODY,
                ),
                (
                    self.profile(
                        f'[ethernet]\nmac-address-blacklist={OTHER};{MAC};{vfs}'
                    ),
                    NOBODY,
                ),
                (self.profile(f'[match]\ninterface-name=enp*;{vfs}'), [4]),
                (
                    self.profile(f'[match]\ninterface-name=!enp1f0;{vfs}'),
                    NOBODY,
                ),
                (self.profile(f'[match]\npath=pci-{ADDRESS};{vfs}'), [4]),
                (
                    self.profile(f'[match]\npath=pci-0000:12:00.0;{vfs}'),
                    NOBODY,
                ),
                (self.profile(f'[match]\ndriver=igb;{vfs}'), [4]),
                # The number is 0 where the section names none.
                (self.profile('[sriov]\nautoprobe-drivers=0'), [0]),
                (self.profile(f'interface-name=enp1f0{vfs}', 'a'), [4]),
                (self.profile(f'interface-name=enp1f0{vfs}', 'a~'), NOBODY),
                (
                    self.profile(
                        f'interface-name=enp1f0{vfs}',
                        home='run/NetworkManager/system-connections',
                    ),
                    [4],
                ),
                (
                    {
                        f'{self.home}/a.nmconnection': '[connection]\n'
                        f'type=vlan\ninterface-name=enp1f0{vfs}'
                    },
                    NOBODY,
                ),
                (
                    {
                        **self.profile(f'interface-name=enp1f0{vfs}'),
                        self.conf: '[keyfile]\n'
                        'unmanaged-devices=interface-name:enp1f0',
                    },
                    NOBODY,
                ),
            )
        )

    def test_ifcfg(self):
        path = 'etc/sysconfig/network-scripts/ifcfg-a'
        self.check(
            (
                ({path: 'DEVICE="enp1f0"\nSRIOV_TOTAL_VFS=4'}, [4]),
                ({path: 'DEVICE=enp1f01\nSRIOV_TOTAL_VFS=4'}, NOBODY),
                ({path: f'HWADDR={MAC.upper()}\nSRIOV_TOTAL_VFS="4"'}, [4]),
                ({path: f'HWADDR={OTHER}\nSRIOV_TOTAL_VFS=4'}, NOBODY),
                ({path: '#SRIOV_TOTAL_VFS=4\nDEVICE=enp1f0'}, NOBODY),
                ({f'{path}.bak': 'DEVICE=enp1f0\nSRIOV_TOTAL_VFS=4'}, NOBODY),
            )
        )

    def test_a_port_of_a_bond_keeps_its_own_address(self):
        self.check(
            (
                (
                    {
                        'proc/net/bonding/bond0': 'Slave Interface: enp1f0\n'
                        'Permanent HW addr: aa:bb:cc:00:00:01',
                        **self.profile(
                            '[ethernet]\nmac-address=AA:BB:CC:00:00:01\n'
                            '[sriov]\ntotal-vfs=4'
                        ),
                    },
                    [4],
                ),
            )
        )
