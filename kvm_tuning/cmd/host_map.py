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
        'kvm-tuning host map --root /tmp/other-host --domains xml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_output(parser)
        guest_assess.add_guests(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning.adapters import assessment
        from kvm_tuning.core.picture import draw

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        records = guest_assess.records(self, parsed_args, conf)
        # A picture is of one moment, and holds up no guest.
        how = assessment.How(root, seconds=0, walk=False)
        found = assessment.assessment(records, how)
        drawn = draw.picture(found.inventory, found.guests)
        show(self, parsed_args.output, [('Host and guests', drawn)])
        return SUCCESS


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
