"""VFs by rules of udev's."""

from testtools.matchers import Equals

from tests.fixtures.fake_cards import ADDRESS
from tests.unit.host.prep.groups.sriov.owner_files import (
    MAC,
    NOBODY,
    OTHER,
    OwnerFiles,
)


class TestUdev(OwnerFiles):
    path = 'etc/udev/rules.d/70-vfs.rules'
    sets = 'ATTR{device/sriov_numvfs}="4"'

    def test_matches(self):
        for rule, wanted in (
            (f'KERNEL=="enp1f0", {self.sets}', [4]),
            (f'KERNEL=="enp1f01", {self.sets}', NOBODY),
            (f'KERNEL=="eth*|enp1f?", {self.sets}', [4]),
            (f'KERNEL!="enp1f0", {self.sets}', NOBODY),
            (f'SUBSYSTEM=="net", {self.sets}', [4]),
            (f'SUBSYSTEM=="block", {self.sets}', NOBODY),
            (f'ENV{{ID_NET_DRIVER}}=="igb", {self.sets}', [4]),
            (f'ENV{{ID_NET_DRIVER}}=="i40e", {self.sets}', NOBODY),
            (f'ENV{{INTERFACE}}=="enp1f0", {self.sets}', [4]),
            (f'ENV{{ID_PATH}}=="pci-{ADDRESS}", {self.sets}', [4]),
            (f'DRIVERS=="igb", {self.sets}', [4]),
            (f'DRIVERS=="ixgbe", {self.sets}', NOBODY),
            (f'KERNELS=="{ADDRESS}", {self.sets}', [4]),
            (f'KERNELS=="0000:??:00.0", {self.sets}', [4]),
            (f'KERNELS=="0000:12:*", {self.sets}', NOBODY),
            (
                'ATTR{device/vendor}=="0x8086", ATTR{device/device}=="0x1521",'
                + self.sets,
                [4],
            ),
            (
                'SUBSYSTEMS=="pci", ATTRS{vendor}=="0x8086", '
                'ATTRS{device}=="0x1521", ' + self.sets,
                [4],
            ),
            (
                'ATTRS{vendor}=="0x8086", ATTRS{device}=="0x1572", '
                + self.sets,
                NOBODY,
            ),
            (f'ATTR{{address}}=="{MAC}", {self.sets}', [4]),
            (f'ATTR{{address}}=="{OTHER}", {self.sets}', NOBODY),
            (f'ACTION=="remove", {self.sets}', NOBODY),
            (f'ACTION=="add|change", {self.sets}', [4]),
            (
                'SUBSYSTEM=="pci", DRIVER=="igb", ATTR{vendor}=="0x8086", '
                'ATTR{sriov_numvfs}="4"',
                [4],
            ),
            (
                'SUBSYSTEM=="pci", ATTR{device}=="0x1572", '
                'ATTR{sriov_numvfs}="4"',
                NOBODY,
            ),
            (
                f'KERNEL=="lo", ATTR{{[pci/{ADDRESS}]sriov_numvfs}}="4"',
                NOBODY,
            ),
            (f'ATTR{{[pci/{ADDRESS}]sriov_numvfs}}="4"', [4]),
            (f'# KERNEL=="enp1f0", {self.sets}', NOBODY),
            (f'  #KERNEL=="enp1f0", {self.sets}', NOBODY),
            (f'KERNEL=="enp1f0", \\\n  {self.sets}', [4]),
            (f'KERNEL=="enp1f0", \\\n# why\n  {self.sets}', [4]),
            ('KERNEL=="enp1f0", ATTR{device/sriov_numvfs}=="4"', NOBODY),
            # A program's result is not known: it may.
            (f'PROGRAM=="/bin/which", KERNEL=="enp1f0", {self.sets}', [4]),
            (f'TEST=="device/sriov_numvfs", {self.sets}', [4]),
            (f'TEST=="device/nothing", {self.sets}', NOBODY),
            # udev does not take a line that it cannot parse.
            (f'KERNEL=="enp1f0" and {self.sets}', NOBODY),
            # The last one counts.
            (
                f'{self.sets}\nKERNEL=="enp1f0", '
                'ATTR{device/sriov_numvfs}="5"',
                [5],
            ),
        ):
            self.assertThat(
                self.counts({self.path: rule}), Equals(wanted), rule
            )

    def test_jumps_and_properties(self):
        for rules, wanted in (
            (f'KERNEL!="enp1f0", GOTO="end"\n{self.sets}\nLABEL="end"', [4]),
            (
                f'KERNEL=="enp1f0", GOTO="end"\n{self.sets}\nLABEL="end"',
                NOBODY,
            ),
            (
                f'SUBSYSTEM!="net", GOTO="end"\nACTION!="add", GOTO="end"\n'
                f'{self.sets}\nLABEL="end"',
                [4],
            ),
            # The interface itself has no driver, and that is one of them.
            (
                f'DRIVERS!="igb", GOTO="end"\n{self.sets}\nLABEL="end"',
                NOBODY,
            ),
            (
                'KERNEL=="enp1f0", ENV{pf}="1"\nENV{pf}=="1", ' + self.sets,
                [4],
            ),
            (
                f'KERNEL=="enp1f01", ENV{{pf}}="1"\n'
                f'ENV{{pf}}=="1", {self.sets}',
                NOBODY,
            ),
            (
                'KERNEL=="enp1f0", ENV{n}="3"\n'
                'ENV{n}!="", ATTR{device/sriov_numvfs}="$env{n}"',
                [3],
            ),
        ):
            self.assertThat(
                self.counts({self.path: rules}), Equals(wanted), rules
            )

    def test_programs(self):
        run = 'SUBSYSTEM=="net", KERNEL=="enp1f0*", RUN+="{}"'.format
        home = '/sys/class/net/{}/device/sriov_numvfs'.format
        for command, wanted in (
            (f"/bin/sh -c 'echo 4 > {home('enp1f0')}'", [4]),
            (f"/bin/sh -c 'echo 4 > {home('%k')}'", [4]),
            (f"/bin/sh -c 'echo 4 > {home('$kernel')}'", [4]),
            ("/bin/sh -c 'echo 4 > /sys%p/device/sriov_numvfs'", [4]),
            (f"/bin/sh -c 'echo 4 > {home('enp1f01')}'", NOBODY),
            (f"/bin/sh -c 'cat {home('enp1f0')}'", NOBODY),
            (f"/bin/sh -c 'echo 4 | tee {home('enp1f0')}'", [4]),
            ('/usr/local/sbin/vfs %k 4', [4]),
            ('/usr/local/sbin/vfs enp1f01 4', NOBODY),
        ):
            files = {
                self.path: run(command),
                'usr/local/sbin/vfs': f'#!/bin/sh\necho $2 > {home("$1")}',
            }
            self.assertThat(self.counts(files), Equals(wanted), command)

    def test_a_later_file_of_a_name_hides(self):
        rule = f'KERNEL=="enp1f0", {self.sets}'
        self.check(
            (
                (
                    {'usr/lib/udev/rules.d/70-vfs.rules': rule, self.path: ''},
                    NOBODY,
                ),
                ({'run/udev/rules.d/70-vfs.rules': rule}, [4]),
            )
        )
