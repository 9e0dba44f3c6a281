"""``kvm-tuning host capacity``: how many more guests fit."""

import argparse
from collections.abc import Iterator
import dataclasses
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments, guest_assess
from kvm_tuning.cmd.command import Output, Report, Section, paragraph
from kvm_tuning.core.exceptions import ConfigInvalid, Unsupported, WrongUsage

if TYPE_CHECKING:
    from oslo_config import cfg

    from kvm_tuning.adapters.capacity import Room
    from kvm_tuning.core.capacity.count import Capacity
    from kvm_tuning.core.request import Request

_FLAVORS = ('flavor', 'fit', 'limited by', 'refusal')
_CELLS = (
    'cell', 'free pCPUs', 'whole', 'whole L3 domains', 'MiB', 'pages', 'VFs',
)  # fmt: skip


class HostCapacity(Report):
    """Say how many more guests of each flavor fit on this host now.

    Guests are placed by the same solver as real ones until one is refused.
    Each flavor is counted as if the others were not there. Nothing is changed.
    """

    examples = (
        'kvm-tuning host capacity --flavor web.yaml db.yaml',
        'kvm-tuning host capacity --flavor db.yaml --root /tmp/other-host '
        '--domains xml -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--flavor',
            metavar='FLAVOR',
            dest='flavors',
            action='extend',
            nargs='+',
            required=True,
            help=(
                'What "openstack flavor show -f json" (or yaml) prints, as a '
                'file; several are possible.'
            ),
        )
        guest_assess.add_guests(parser)
        parser.add_argument(
            '--taken',
            metavar='CPUSET',
            help='Take these pCPUs as held by others.',
        )
        arguments.add_cpusets(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning import loader
        from kvm_tuning.adapters import capacity

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        hooks = loader.load()
        requests = list(_requests(parsed_args, hooks, conf, root))
        records = guest_assess.records(self, parsed_args, conf)
        cpusets = arguments.cpusets(parsed_args)
        try:
            room = capacity.room(
                root,
                conf,
                hooks,
                requests,
                records,
                cpusets,
                parsed_args.taken,
            )
        except ConfigInvalid as error:
            if cpusets or parsed_args.taken:
                raise WrongUsage(str(error)) from error
            raise
        return _output(room)


def _requests(
    parsed_args: argparse.Namespace,
    hooks: Any,
    conf: 'cfg.ConfigOpts',
    root: str,
) -> 'Iterator[Request]':
    from kvm_tuning.cmd import requests

    for flavor in parsed_args.flavors:
        one = argparse.Namespace(flavor=flavor, image=None)
        yield requests.read(one, hooks, conf, root)


def _output(room: 'Room') -> Output:
    flavors = [
        (each.flavor, _number(each), _limits(each), each.refusal)
        for each in room.flavors
    ]
    main = Section('', _FLAVORS, flavors)
    return Output(
        {
            'flavors': [dataclasses.asdict(each) for each in room.flavors],
            'cells': [
                {**dataclasses.asdict(each), 'pcpus': sorted(each.pcpus)}
                for each in room.cells
            ],
            'notes': [each.text for each in room.notes],
        },
        (
            Section('', _FLAVORS[:-1], [row[:-1] for row in flavors]),
            *_refusals(room),
            Section('Free', _CELLS, list(_cells(room))),
            *_notes(room),
        ),
        main=main,
    )


def _refusals(room: 'Room') -> Iterator[Section]:
    """Yield why the next guest of each flavor is refused."""
    lines = tuple(
        paragraph(f'{each.flavor}: {each.refusal}')
        for each in room.flavors
        if each.refusal
    )
    if lines:
        yield Section('The next one', lines=lines)


def _notes(room: 'Room') -> Iterator[Section]:
    if room.notes:
        lines = tuple(paragraph(each.text) for each in room.notes)
        yield Section('Notes', lines=lines)


def _number(each: 'Capacity') -> str:
    from kvm_tuning.core.capacity.count import MOST

    if each.unlimited:
        return 'any number'
    return f'{MOST} or more' if each.guests == MOST else str(each.guests)


def _limits(each: 'Capacity') -> str:
    if each.unlimited:
        return 'nothing that it holds'
    if not each.refusal:
        return ''
    if not each.limits:
        never = each.code == Unsupported.__name__
        return 'what this host is' if never else 'several things'
    return ' or '.join(each.limits)


def _cells(room: 'Room') -> Iterator[tuple[Any, ...]]:
    from kvm_tuning.core import cpuset

    for each in room.cells:
        yield (
            each.cell,
            cpuset.format(each.pcpus),
            'yes' if each.whole else 'no',
            f'{each.whole_l3_domains} of {each.l3_domains}',
            each.memory_kib >> 10,
            ', '.join(
                f'{count} of {size} KiB'
                for size, count in sorted(each.pages.items())
            ),
            each.vfs,
        )
