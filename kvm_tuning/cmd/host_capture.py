"""``kvm-tuning host capture``: a host in a file, for another machine."""

import argparse
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments, host_session
from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.core.exceptions import (
    ConfigInvalid,
    HostError,
    KvmTuningError,
    WrongUsage,
)

if TYPE_CHECKING:
    from kvm_tuning.host.capture.pack import Capture

_COLUMNS = ('path', 'bytes')


class HostCapture(Report):
    """Pack what the commands read of this host, to look at it elsewhere.

    Unpacked, it is what --root takes: plan, status, ready and topology answer
    as here. Only files and keys that they understand go in; host name, MAC
    addresses, UUIDs and values of unknown kernel arguments are replaced.
    """

    examples = (
        'kvm-tuning host capture --list',
        'kvm-tuning host capture host.tar.gz',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        parser.add_argument(
            'file',
            metavar='FILE',
            nargs='?',
            help='Write this file, which must not be there (tar, gzip).',
        )
        parser.add_argument(
            '--list',
            action='store_true',
            help='Only show what would go in, and what of it would not.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.host.capture import pack

        if (parsed_args.file is None) != parsed_args.list:
            raise WrongUsage('want either FILE or --list')
        root = arguments.root(parsed_args)
        made = pack.capture(root, lambda: self._look(root))
        if parsed_args.file is not None:
            try:
                pack.write(made, parsed_args.file)
            except OSError as error:
                raise HostError(
                    f'{parsed_args.file} cannot be written: {error.strerror}'
                ) from error
        return _output(made, listed=parsed_args.list)

    def _look(self, root: str) -> None:
        """Read what plan, status, ready and topology read."""
        from kvm_tuning import conf
        from kvm_tuning.host import ready
        from kvm_tuning.host.access.sysfs import Tree
        from kvm_tuning.host.inventory import reader
        from kvm_tuning.host.prep import status
        from kvm_tuning.host.prep.kinds import table

        tree = Tree(root)
        parts = f'{conf.DIRECTORY}/{conf.PARTS}'
        # oslo.config opens them itself.
        for path in (
            f'{conf.DIRECTORY}/{conf.FILE}',
            *(f'{parts}/{name}' for name in tree.names(parts)),
        ):
            tree.raw(path)
        reader.read(root)
        try:
            session = host_session.open_session(
                self.app.options, root, private=False
            )
            status.rows(
                session.host, table.KINDS, session.journal, session.items()
            )
            session.plan()
            ready.check(root, session.conf)
        except ConfigInvalid as error:
            self.say(f'the configuration is not valid: {error}')
        except KvmTuningError as error:
            self.say(f'not all could be looked at: {error}')


def _output(made: 'Capture', listed: bool) -> Output:
    files = [
        (each.path, len(each.content))
        for each in made.members.values()
        if each.content is not None
    ]
    files.sort()
    rows = files if listed else []
    count = f'{len(files)} files, {made.size} bytes'
    sections = [
        Section('Packed', _COLUMNS, rows, lines=() if rows else (count,))
    ]
    if made.left_out:
        sections.append(
            Section(
                'Left out',
                lines=[f'{k}: {v}' for k, v in sorted(made.left_out.items())],
            )
        )
    return Output(
        {
            'files': [{'path': path, 'bytes': size} for path, size in files],
            'left_out': made.left_out,
        },
        tuple(sections),
        main=sections[0],
    )
