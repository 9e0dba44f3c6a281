"""``kvm-tuning host map``: a picture of a host and its guests."""

import argparse
import os
import shutil
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments, guest_assess
from kvm_tuning.cmd.command import SUCCESS, Command
from kvm_tuning.core.exceptions import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oslo_config import cfg

    from kvm_tuning.core.claims import Record
    from kvm_tuning.core.picture.model import Picture

#: Columns of output that is not a terminal, and the most that a terminal gets.
_COLUMNS = 80
_MOST_COLUMNS = 160


class HostMap(Command):
    """Draw this host: cells, L3 domains, cores, devices, and each guest.

    Where guests really are, and what they lose by it. --output writes a
    picture (.svg) or a page with tables (.html) that needs no network.
    """

    examples = (
        'kvm-tuning host map',
        'kvm-tuning host map --output map.html',
        'kvm-tuning host map --flavor db.yaml --domain db1 --output map.svg',
        'kvm-tuning host map --root /tmp/other-host --domains xml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_output(parser)
        parser.add_argument(
            '--flavor',
            metavar='FLAVOR',
            help=(
                'Draw what a plan for --domain by this flavor would do, '
                'before and after.'
            ),
        )
        parser.add_argument(
            '--domain',
            metavar='NAME',
            help='Name or UUID of the guest of the plan.',
        )
        guest_assess.add_guests(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning.adapters import assessment
        from kvm_tuning.core.picture import draw

        if (parsed_args.flavor is None) != (parsed_args.domain is None):
            raise WrongUsage('--flavor and --domain go together')
        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        records = guest_assess.records(self, parsed_args, conf)
        # A picture is of one moment, and holds up no guest.
        how = assessment.How(root, seconds=0, walk=False)
        found = assessment.assessment(records, how)
        drawn = draw.picture(found.inventory, found.guests)
        pictures = [('Host and guests', drawn)]
        if parsed_args.flavor is not None:
            then = _planned(parsed_args, drawn, root, conf, records)
            name = parsed_args.domain
            pictures = [('Now', drawn), (f'With the plan for {name}', then)]
        show(self, parsed_args.output, pictures)
        return SUCCESS


def _planned(
    parsed_args: argparse.Namespace,
    drawn: 'Picture',
    root: str,
    conf: 'cfg.ConfigOpts',
    records: 'Sequence[Record]',
) -> 'Picture':
    """Return the picture after the plan that the options ask for."""
    from kvm_tuning import loader
    from kvm_tuning.adapters import mapped
    from kvm_tuning.cmd import requests

    hooks = loader.load()
    asked = argparse.Namespace(flavor=parsed_args.flavor, image=None)
    request = requests.read(asked, hooks, conf, root)
    name = parsed_args.domain
    return mapped.planned(drawn, root, conf, hooks, request, records, name)


def add_output(
    parser: argparse.ArgumentParser,
    option: str = '--output',
    what: str = 'Write FILE.svg or FILE.html instead of to the terminal.',
) -> None:
    """Add the option that says where a picture goes."""
    parser.add_argument(option, type=_file, metavar='FILE', help=what)


def _file(text: str) -> str:
    if not text.endswith(('.svg', '.html')):
        raise argparse.ArgumentTypeError(
            f'want a name that ends in .svg or .html, not {text!r}'
        )
    return text


def show(
    command: Command,
    output: str | None,
    pictures: 'Sequence[tuple[str, Picture]]',
) -> None:
    """Print pictures, or write them into a file.

    :raises WrongUsage: the file cannot be written.
    """
    if output is None:
        _print(command.app.stdout, pictures)
        return
    from kvm_tuning.cmd.drawing import documents

    make = documents.svg if output.endswith('.svg') else documents.html
    text = make(pictures)
    try:
        with open(output, 'w', encoding='utf-8') as file:
            file.write(text)
    except OSError as error:
        raise WrongUsage(
            f'{output!r} cannot be written: {error.strerror}'
        ) from error


def _print(stdout: Any, pictures: 'Sequence[tuple[str, Picture]]') -> None:
    from kvm_tuning.cmd.drawing.terminal import Terminal

    tty = stdout.isatty()
    width = _COLUMNS
    if tty:
        width = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    encoding = (getattr(stdout, 'encoding', None) or 'ascii').lower()
    terminal = Terminal(
        max(width, 40),
        encoding.replace('-', '') == 'utf8',
        tty and not os.environ.get('NO_COLOR'),
    )
    for heading, picture in pictures:
        if len(pictures) > 1:
            stdout.write(f'{heading}\n\n')
        for line in terminal.lines(picture):
            stdout.write(f'{line}\n')
