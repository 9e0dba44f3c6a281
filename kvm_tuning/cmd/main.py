"""The command ``kvm-tuning``."""

from collections.abc import Sequence
import importlib.metadata
import logging
import sys
from typing import TextIO

from cliff import app, commandmanager
from stevedore import named

from kvm_tuning.cmd.command import escaped
from kvm_tuning.cmd.complete import Complete

NAMESPACE = 'kvm_tuning.cli'

_DESCRIPTION = """\
Tune KVM guests and audit them. A flavor says what is asked, a plan what
becomes of it on this host; nothing is changed before all has been checked.
Exit status: 0 success, 1 a finding, a drift or a refusal, 2 wrong usage, 3
could not complete (4 with --detailed-exit-codes: something was changed).
"""


class CommandManager(commandmanager.CommandManager):
    """Knows the commands by their entry points, and imports only the one
    that is called. (cliff's own imports all of them at the start.)
    """

    def load_commands(self, namespace: str) -> None:
        self.group_list.append(namespace)
        # No name is loaded; the entry points are listed. The class takes
        # no [object] at run time in stevedore 5.4, Debian 13's.
        listed: named.NamedExtensionManager[object] = (
            named.NamedExtensionManager(
                namespace, names=[], on_missing_entrypoints_callback=None
            )
        )
        for entry_point in listed.list_entry_points():
            self.commands[entry_point.name.replace('_', ' ')] = entry_point


class Application(app.App):
    """cliff's application with our options, without its shell."""

    NAME = 'kvm-tuning'

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        super().__init__(
            description=_DESCRIPTION,
            version=version(),
            command_manager=CommandManager(NAMESPACE),
            stdout=stdout,
            stderr=stderr,
            # --help behind a command is the command's.
            deferred_help=True,
        )
        self.parser.prog = self.NAME
        # In the place of cliff's own, which knows no values.
        self.command_manager.add_command('complete', Complete)
        group = self.parser.add_argument_group('configuration')
        group.add_argument(
            '--config-file',
            metavar='FILE',
            action='append',
            default=[],
            help=(
                'Read this configuration instead of '
                '/etc/kvm-tuning/kvm-tuning.conf; may be repeated.'
            ),
        )
        group.add_argument(
            '--config-dir',
            metavar='DIR',
            action='append',
            default=[],
            help='Read the *.conf in this directory; may be repeated.',
        )

    def configure_logging(self) -> None:
        """Have warnings printed, with -v our steps, too, and with -vv what
        the libraries say.
        """
        super().configure_logging()
        console = logging.getLogger().handlers[-1]
        verbose = self.options.verbose_level - self.DEFAULT_VERBOSE_LEVEL
        console.setLevel(logging.DEBUG if verbose > 0 else logging.WARNING)
        console.setFormatter(_Escaping())
        if verbose == 1:
            console.addFilter(_ours)

    def run(self, argv: list[str]) -> int:
        """Run the command of ``argv``; return the exit status."""
        status = super().run(argv or ['help'])
        # Options without a command: cliff wants to open its shell.
        return 2 if self.interactive_mode else status

    def interact(self) -> None:
        self.stderr.write(f'WrongUsage: no command; see {self.NAME} --help\n')

    def run_subcommand(self, argv: list[str]) -> int:
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            close = ', '.join(self.get_fuzzy_matches(argv[0]))
            hint = f'; did you mean one of: {close}' if close else ''
            self.stderr.write(
                f'WrongUsage: {" ".join(argv)!r} is not a command of '
                f'{self.NAME}{hint}\n'
            )
            return 2
        return super().run_subcommand(argv)


class _Escaping(logging.Formatter):
    """Writes messages that cannot give orders to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record), keep='\n\t')


def _ours(record: logging.LogRecord) -> bool:
    """Tell whether a message is about our steps, or a warning of anybody."""
    own = record.name.partition('.')[0] == 'kvm_tuning'
    return own or record.levelno >= logging.WARNING


def version() -> str:
    """Return the installed version."""
    try:
        return importlib.metadata.version('kvm-tuning')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of ``argv``; return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    return Application().run(list(arguments))


if __name__ == '__main__':
    sys.exit(main())
