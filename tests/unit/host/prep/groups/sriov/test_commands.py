"""VFs by units, scripts and other files that name sriov_numvfs."""

from testtools.matchers import Equals

from tests.fixtures.fake_cards import ADDRESS
from tests.unit.host.prep.groups.sriov.owner_files import (
    NOBODY,
    OwnerFiles,
)


class TestCommands(OwnerFiles):
    home = '/sys/class/net/{}/device/sriov_numvfs'.format

    def test_units(self):
        wants = 'etc/systemd/system/multi-user.target.wants'
        unit = '[Service]\nExecStart={}\n[Install]'.format
        echo = "/bin/sh -c 'echo 4 > {}'".format
        name = 'etc/systemd/system/vfs.service'
        enabled = {f'{wants}/vfs.service': ''}
        self.check(
            (
                ({name: unit(echo(self.home('enp1f0'))), **enabled}, [4]),
                ({name: unit(echo(self.home('enp1f0')))}, NOBODY),
                ({name: unit(echo(self.home('enp1f01'))), **enabled}, NOBODY),
                (
                    {
                        'etc/systemd/system/vfs@.service': unit(
                            echo(self.home('%i'))
                        ),
                        f'{wants}/vfs@enp1f0.service': '',
                    },
                    [4],
                ),
                (
                    {
                        'etc/systemd/system/vfs@.service': unit(
                            echo(self.home('%i'))
                        ),
                        f'{wants}/vfs@enp1f01.service': '',
                    },
                    NOBODY,
                ),
                (
                    {
                        name: '[Service]\nType=oneshot\n'
                        'ExecStart=/usr/local/bin/vfs',
                        'usr/local/bin/vfs': '#!/bin/bash\n'
                        'for pf in enp1f0 enp1f01; do\n'
                        f'  echo 4 > {self.home("$pf")}\ndone',
                        **enabled,
                    },
                    [4],
                ),
                (
                    {
                        name: unit('/usr/local/bin/vfs'),
                        'usr/local/bin/vfs': '#!/bin/sh\n'
                        f'# echo 4 > {self.home("enp1f0")}\nexit 0',
                        **enabled,
                    },
                    NOBODY,
                ),
                (
                    {
                        name: unit('/usr/local/bin/vfs'),
                        'usr/local/bin/vfs': '#!/bin/sh\n. /etc/vfs\n'
                        f'echo $N > {self.home("$PF")}',
                        **enabled,
                    },
                    [None],
                ),
            )
        )

    def test_a_unit_that_is_not_enabled_is_named(self):
        name = 'etc/systemd/system/vfs.service'
        text = (
            f"[Service]\nExecStart=/bin/sh -c 'echo 4 > {self.home('enp1f0')}'"
        )
        self.assertThat(self.counts({name: text}, active=False), Equals([4]))
        (row,) = self.rows(vfs={'enp1f0': 2})
        self.assertIn('vfs.service', row.others[0])

    def test_others(self):
        vfs = self.home('enp1f0')
        for path, text, wanted in (
            (
                'etc/sysfs.conf',
                'class/net/enp1f0/device/sriov_numvfs = 4',
                [4],
            ),
            (
                'etc/sysfs.conf',
                'class/net/enp1f01/device/sriov_numvfs=4',
                NOBODY,
            ),
            (
                'etc/sysfs.d/a.conf',
                f'bus/pci/devices/{ADDRESS}/sriov_numvfs = 4',
                [4],
            ),
            ('etc/tmpfiles.d/a.conf', f'w {vfs} - - - - 4', [4]),
            ('etc/tmpfiles.d/a.conf', f'#w {vfs} - - - - 4', NOBODY),
            ('etc/rc.local', f'#!/bin/sh\necho 4 > {vfs}', [4]),
            ('etc/rc.local', f'#!/bin/sh\n#echo 4 > {vfs}', NOBODY),
            ('etc/crontab', f'@reboot root echo 4 > {vfs}', [4]),
            ('etc/crontab', f'0 * * * * root cat {vfs}', NOBODY),
            (
                'etc/network/interfaces',
                f'iface enp1f0 inet manual\n  pre-up echo 4 > {vfs}',
                [4],
            ),
            (
                'etc/network/interfaces',
                'iface enp1f0 inet manual\n'
                f'  up echo 4 > {self.home("$IFACE")}',
                [4],
            ),
            (
                'etc/network/interfaces',
                'iface enp1f01 inet manual\n'
                f'  up echo 4 > {self.home("$IFACE")}',
                NOBODY,
            ),
            (
                'etc/sriov-netplan-shim/interfaces.yaml',
                'interfaces: {enp1f0: {num_vfs: 4}}',
                [4],
            ),
            (
                'etc/sriov-netplan-shim/interfaces.yaml',
                'interfaces: {enp1f01: {num_vfs: 4}}',
                NOBODY,
            ),
        ):
            self.assertThat(
                self.counts({path: text}), Equals(wanted), f'{path}: {text}'
            )

    def test_sourced(self):
        self.check(
            (
                (
                    {
                        'etc/network/interfaces': 'source interfaces.d/*',
                        'etc/network/interfaces.d/pf': 'iface enp1f0 inet '
                        f'manual\n up echo 4 > {self.home("enp1f0")}',
                    },
                    [4],
                ),
            )
        )

    def test_long_values_are_cut_short(self):
        self.counts(
            {
                'etc/sysfs.conf': 'class/net/enp1f0/device/sriov_numvfs = '
                + '9' * 5000
            }
        )
        (text,) = self.refusals(vfs={'enp1f0': 2})
        self.assertThat(len(text) < 600, Equals(True))
