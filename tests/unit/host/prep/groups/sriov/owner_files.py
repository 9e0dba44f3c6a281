"""A host with two ports, and files of others that set their VFs."""

from testtools.matchers import Equals

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov import identity, owners
from tests.fixtures.fake_cards import ADDRESS, I350
from tests.fixtures.fake_host import FakePf
from tests.unit.host.prep.groups.sriov import test_ports

#: The MAC addresses that the fixtures give the two ports.
MAC, OTHER = '52:54:00:00:00:00', '52:54:00:00:00:01'
NOBODY: list[int | None] = []


class OwnerFiles(test_ports.SriovTest):
    def counts(self, files, active=True):
        """Return the numbers that others give the first of two ports."""
        self.build(FakePf('enp1f0', **I350), FakePf('enp1f01', **I350))
        for path, text in files.items():
            self.kernel.put(path, text)
        host = Host(Tree(self.root))
        port = identity.read(host, host.inventory.device[ADDRESS])
        return [
            owner.count
            for owner in owners.find(host, port)
            if owner.active == active
        ]

    def check(self, cases):
        for number, (files, wanted) in enumerate(cases):
            self.assertThat(
                self.counts(files), Equals(wanted), f'{number}: {files}'
            )
