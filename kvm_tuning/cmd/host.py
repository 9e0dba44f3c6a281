"""``kvm-tuning host``: what a host has."""

import argparse
from collections.abc import Sequence
import dataclasses
from typing import Any

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Output, Report, Section


class HostTopology(Report):
    """Show L3 domains, sockets and NUMA cells, and their processors."""

    examples = (
        'kvm-tuning host topology',
        'kvm-tuning host topology --cpus',
        'kvm-tuning host topology --root /tmp/other-host -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        parser.add_argument(
            '--cpus',
            action='store_true',
            help='Show each processor, not only which ones are alike.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.cmd import topology_report
        from kvm_tuning.core import cpuset
        from kvm_tuning.host.inventory import reader

        host = reader.read(arguments.root(parsed_args), devices=False)
        processors = Section(
            'Processors',
            topology_report.COLUMNS,
            topology_report.rows(host),
        )
        return Output(
            document=topology_report.summary(host),
            main=processors,
            sections=(
                *((processors,) if parsed_args.cpus else ()),
                Section(
                    'L3 domains',
                    topology_report.DOMAINS,
                    topology_report.domains(host),
                ),
                Section(
                    'Sockets',
                    ('socket', 'cpus'),
                    topology_report.sockets(host),
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
                Section('', lines=(topology_report.describe(host),)),
            ),
        )


class HostDevices(Report):
    """Show PCI functions, network interfaces and block devices."""

    examples = (
        'kvm-tuning host devices --tree',
        'kvm-tuning host devices -f json',
        'kvm-tuning host devices -f value -c address -c cell',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        parser.add_argument(
            '--tree',
            action='store_true',
            help='Show PCI functions below the bridges they hang on.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.cmd import device_report
        from kvm_tuning.host.inventory import reader

        host = reader.read(arguments.root(parsed_args))
        pci = Section(
            'PCI functions', device_report.COLUMNS, device_report.rows(host)
        )
        nics = Section(
            'Network interfaces',
            device_report.NIC_COLUMNS,
            device_report.nic_rows(host),
        )
        disks = Section(
            'Block devices',
            device_report.DISK_COLUMNS,
            device_report.disk_rows(host),
        )
        document = {
            'devices': _plain(host.devices),
            'nics': _plain(host.nics),
            'disks': _plain(host.disks),
        }
        if parsed_args.tree:
            lines = device_report.device_tree(host)
            return Output(document, (Section('', lines=lines),), main=pci)
        return Output(document, (pci, nics, disks), main=pci)


def _plain(devices: Sequence[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(device) for device in devices]
