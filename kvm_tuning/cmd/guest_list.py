"""``kvm-tuning guest list``: which guest holds what."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Lister

if TYPE_CHECKING:
    from kvm_tuning.core.ledger import Claim

COLUMNS = (
    'guest',
    'state',
    'flavor',
    'pCPUs',
    'shared',
    'pages',
    'memory',
    'devices',
    'VFs',
    'threads',
    'queues',
)


class GuestList(Lister):
    """List which guest holds what.

    VFs are named by PF and index; threads are the emulator's, iothreads and
    vhost, with their pCPUs; queues are those of NICs and disks with several.
    """

    examples = (
        'kvm-tuning guest list',
        'kvm-tuning guest list -f value -c guest -c pCPUs',
        'kvm-tuning guest list --fit-width -c guest -c VFs -c threads',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_connect(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        from kvm_tuning.adapters import connection, holders

        conf = arguments.configuration(self.app.options)
        uri = parsed_args.connect or conf.libvirt.uri
        with connection.open(uri, read_only=True) as libvirt:
            found = holders.read(libvirt, conf)
        return COLUMNS, [
            (
                holder.name,
                'running' if holder.running else 'defined',
                holder.flavor,
                *_held(holder.claims),
                ', '.join(holder.vfs),
                _threads(holder.threads),
                ', '.join(
                    f'{name}: {count}' for name, count in holder.queues.items()
                ),
            )
            for holder in found
        ]


def _threads(threads: Mapping[str, frozenset[int]]) -> str:
    from kvm_tuning.core import cpuset

    return ', '.join(
        f'{name}: {cpuset.format(cpus)}' for name, cpus in threads.items()
    )


def _held(claims: Sequence['Claim']) -> tuple[str, str, str, str, str]:
    from kvm_tuning.core import cpuset

    pages: dict[tuple[int, int], int] = {}
    memory: dict[int, int] = {}
    for claim in claims:
        for key, count in claim.pages.items():
            pages[key] = pages.get(key, 0) + count
        for cell, kib in claim.memory_kib.items():
            memory[cell] = memory.get(cell, 0) + kib
    return (
        cpuset.format({cpu for claim in claims for cpu in claim.pcpus}),
        cpuset.format({cpu for claim in claims for cpu in claim.shared}),
        ', '.join(
            f'{count} of {size} KiB on cell {cell}'
            for (cell, size), count in sorted(pages.items())
        ),
        ', '.join(
            f'{kib >> 10} MiB on cell {cell}'
            for cell, kib in sorted(memory.items())
        ),
        ', '.join(sorted({a for claim in claims for a in claim.devices})),
    )
