"""``kvm-tuning host``: what a host has."""

import argparse

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Output, Report, Section


class HostTopology(Report):
    """Show processors, cores, sockets, L3 domains and NUMA cells."""

    examples = (
        'kvm-tuning host topology',
        'kvm-tuning host topology --root /tmp/other-host -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.core import cpuset, host_topology
        from kvm_tuning.host import inventory

        host = inventory.read(arguments.root(parsed_args), devices=False)
        return Output(
            document=host_topology.summary(host),
            sections=(
                Section(
                    'Processors',
                    host_topology.COLUMNS,
                    host_topology.rows(host),
                ),
                Section(
                    'Sockets',
                    ('socket', 'cpus'),
                    host_topology.sockets(host),
                ),
                Section(
                    'NUMA cells',
                    ('cell', 'cpus', 'memory MiB', 'free MiB'),
                    [
                        (
                            cell.id,
                            cpuset.format(cell.cpus),
                            cell.memory_bytes >> 20,
                            cell.free_memory_bytes >> 20,
                        )
                        for cell in host.cells
                    ],
                ),
                Section('', lines=(host_topology.describe(host),)),
            ),
        )
