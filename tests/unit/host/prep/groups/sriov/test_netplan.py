"""VFs by netplan."""

from testtools.matchers import Equals

from tests.unit.host.prep.groups.sriov.owner_files import (
    MAC,
    NOBODY,
    OTHER,
    OwnerFiles,
)


class TestNetplan(OwnerFiles):
    def ethernets(self, text, name='etc/netplan/50.yaml'):
        return {name: f'network: {{ethernets: {{{text}}}}}'}

    def test_numbers(self):
        for text, wanted in (
            ('enp1f0: {virtual-function-count: 4}', [4]),
            ('enp1f01: {virtual-function-count: 4}', NOBODY),
            ('"enp1f*": {virtual-function-count: 4}', NOBODY),
            (
                'lan: {match: {name: "enp?f0"}, virtual-function-count: 4}',
                [4],
            ),
            (
                f'lan: {{match: {{macaddress: {MAC}}}, set-name: lan, '
                f'virtual-function-count: 4}}',
                [4],
            ),
            (
                f'lan: {{match: {{macaddress: {OTHER}}}, set-name: lan, '
                f'virtual-function-count: 4}}',
                NOBODY,
            ),
            (
                f'lan: {{match: {{macaddress: "{OTHER}"}}, set-name: enp1f0, '
                f'virtual-function-count: 4}}',
                [4],
            ),
            # The other port has the name: it is taken for the one meant.
            (
                f'lan: {{match: {{macaddress: {MAC}}}, set-name: enp1f01, '
                f'virtual-function-count: 4}}',
                NOBODY,
            ),
            (
                'lan: {match: {driver: [ixgbe, igb]}, '
                'virtual-function-count: 4}',
                [4],
            ),
            ('enp1f0: {}, v0: {link: enp1f0}, v1: {link: enp1f0}', [2]),
            ('enp1f01: {}, v0: {link: enp1f01}', NOBODY),
            (
                'enp1f0: {virtual-function-count: 8}, v0: {link: enp1f0}',
                [8],
            ),
            (
                f'lan: {{match: {{macaddress: {MAC}}}}}, v0: {{link: lan}}',
                [1],
            ),
        ):
            self.assertThat(
                self.counts(self.ethernets(text)), Equals(wanted), text
            )

    def test_files_are_merged(self):
        count = 'enp1f0: {{virtual-function-count: {}}}'.format
        self.check(
            (
                (
                    {
                        **self.ethernets(count(4)),
                        **self.ethernets(count(5), 'lib/netplan/60.yaml'),
                    },
                    [5],
                ),
                (
                    {
                        **self.ethernets(count(4)),
                        **self.ethernets(count(5), 'run/netplan/50.yaml'),
                    },
                    [5],
                ),
                (
                    {
                        **self.ethernets('enp1f0: {}, v0: {link: enp1f0}'),
                        **self.ethernets(
                            'v1: {link: enp1f0}', 'etc/netplan/60.yaml'
                        ),
                    },
                    [2],
                ),
                (self.ethernets(count(4), 'etc/netplan/50.yaml.bak'), NOBODY),
            )
        )
