"""What all commands share: errors, exit statuses, tables and documents."""

import abc
import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import json
import os
import re
import textwrap
import traceback
from typing import Any

from cliff import command as cliff_command
from cliff import lister, show

from kvm_tuning.core.exceptions import (
    HookError,
    HostError,
    KvmTuningError,
    RequestError,
    WrongUsage,
)

#: Exit statuses.
SUCCESS = 0
FOUND = 1
WRONG_USAGE = 2
INCOMPLETE = 3
CHANGED = 4

#: Formats that escape what does not print by themselves.
_OWN_ESCAPES = frozenset({'json', 'yaml'})
# What the kernel and libvirt say to who may not.
_DENIED = re.compile(
    'permission denied|operation not permitted|access denied|'
    'authentication (unavailable|failed)',
    re.IGNORECASE,
)
# What lines of text are laid out by.
_LINES = '\n\t'


def status_of(error: KvmTuningError) -> int:
    """Return the exit status of a command that ends in ``error``."""
    if isinstance(error, WrongUsage):
        return WRONG_USAGE
    if isinstance(error, HostError | HookError):
        return INCOMPLETE
    return FOUND


def advice_on(error: BaseException) -> str:
    """Return what to add to the message of an error that means that somebody
    else than root was not allowed something: the path, and that it takes root.
    """
    denied = bool(_DENIED.search(str(error)))
    path, cause = '', error.__cause__ or error
    if isinstance(cause, PermissionError):
        denied, path = True, str(cause.filename or '')
    if not denied or os.geteuid() == 0 or 'root' in str(error):
        return ''
    where = f' ({path})' if path and path not in str(error) else ''
    return f'{where}; this takes root'


def message_of(error: KvmTuningError) -> str:
    """Return ``code: message``; several errors are one a line."""
    if isinstance(error, RequestError) and hasattr(error, 'errors'):
        return str(error)
    return f'{error.code}: {error}'


class Command(cliff_command.Command):
    """A command. Its errors are one message and an exit status."""

    #: One line a command, shown below ``--help``.
    examples: tuple[str, ...] = ()

    #: What the command ends with when it raises nothing.
    status = SUCCESS

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.formatter_class = _HelpFormatter
        return parser

    def get_epilog(self) -> str:
        # cliff's own reads the metadata of every installed package to tell
        # which one a command comes from.
        if not self.examples:
            return ''
        return 'Examples:\n' + '\n'.join(f'  {line}' for line in self.examples)

    def run(self, parsed_args: argparse.Namespace) -> int:
        try:
            return super().run(parsed_args) or self.status
        except KvmTuningError as error:
            self._trace(error)
            self.say(f'{message_of(error)}{advice_on(error)}')
            return status_of(error)
        except BrokenPipeError:
            raise
        except Exception as error:
            self._trace(error)
            self.say(
                f'InternalError: {type(error).__name__}: {error}'
                f'{advice_on(error)} (this is a bug; --debug shows where)'
            )
            return INCOMPLETE

    def _trace(self, error: Exception) -> None:
        """With --debug, print where an error came from. It changes nothing
        else: scripts go by the exit status.
        """
        if self.app.options.debug:
            traceback.print_exception(error, file=self.app.stderr)

    def say(self, text: str) -> None:
        """Print to standard error."""
        self.app.stderr.write(f'{escaped(text, keep=_LINES)}\n')

    def changed(self, parsed_args: argparse.Namespace) -> None:
        """Say in the exit status that something was changed."""
        if getattr(parsed_args, 'detailed_exit_codes', False):
            self.status = CHANGED


class Lister(Command, lister.Lister, metaclass=abc.ABCMeta):
    """A command that prints one table."""

    #: Columns that a table does without where they do not fit.
    spare: tuple[str, ...] = ()

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        if parsed_args.formatter not in _OWN_ESCAPES:
            data = [tuple(map(_cell, row)) for row in data]
        if parsed_args.formatter == 'table':
            self.formatter = _tables().Formatter(self.spare)
        try:
            return super().produce_output(parsed_args, column_names, data)
        except ValueError as error:
            raise WrongUsage(str(error)) from error


class ShowOne(Command, show.ShowOne, metaclass=abc.ABCMeta):
    """A command that prints one thing."""

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Sequence[Any],
    ) -> int:
        if parsed_args.formatter == 'table':
            self.formatter = _tables().Formatter()
        return super().produce_output(parsed_args, column_names, data)


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report: a table with a title, or lines of text."""

    title: str
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """What a report prints, in each form."""

    #: ``-f json`` and ``-f yaml``.
    document: Any
    #: ``-f table``: all of them.
    sections: tuple[Section, ...] = ()
    #: ``-f csv`` and ``-f value``, and any format with ``-c``; None: the
    #: first of the sections that is a table.
    main: Section | None = None
    #: Printed as it is in every format: XML, a diff.
    raw: str | None = None


class Report(Lister, metaclass=abc.ABCMeta):
    """A command whose output has several parts.

    A table form prints section after section, a document form one document.
    """

    @abc.abstractmethod
    def report(self, parsed_args: argparse.Namespace) -> Output:
        """Do the work and return what is to be printed."""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        # cliff takes columns and rows; produce_output knows what they are.
        return (), (self.report(parsed_args),)

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Any],
    ) -> int:
        (output,) = data
        if output.raw is not None:
            self.app.stdout.write(output.raw)
        elif parsed_args.formatter == 'json' and not parsed_args.columns:
            indent = None if parsed_args.noindent else 2
            json.dump(output.document, self.app.stdout, indent=indent)
            self.app.stdout.write('\n')
        elif parsed_args.formatter == 'yaml' and not parsed_args.columns:
            _write_yaml(output.document, self.app.stdout)
        elif parsed_args.formatter == 'table' and not parsed_args.columns:
            for number, section in enumerate(output.sections):
                self._write_section(parsed_args, section, number)
        else:
            table = output.main or next(
                section for section in output.sections if section.columns
            )
            super().produce_output(parsed_args, table.columns, table.rows)
        return 0

    def _write_section(
        self, parsed_args: argparse.Namespace, section: Section, number: int
    ) -> None:
        stdout = self.app.stdout
        if number:
            stdout.write('\n')
        if section.title:
            stdout.write(f'{escaped(section.title)}\n')
        if section.rows:
            rows = [
                ['-' if each is None else each for each in row]
                for row in section.rows
            ]
            super().produce_output(parsed_args, section.columns, rows)
        for line in section.lines:
            for part in escaped(line, keep=_LINES).split('\n'):
                _tables().write_line(stdout, part)


class _HelpFormatter(argparse.HelpFormatter):
    """Keeps the lines of an epilog, as examples are one a line, and breaks
    no word at its hyphen: options have some.
    """

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(
            ' '.join(text.split()),
            width,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith('Examples:\n'):
            lines = [_continued(line, width) for line in text.splitlines()]
        else:
            lines = self._split_lines(text, width - len(indent))
        return textwrap.indent('\n'.join(lines), indent)


def _continued(line: str, width: int) -> str:
    """Return a command line in lines that a shell takes as one."""
    parts = textwrap.wrap(
        line,
        width - 2,
        subsequent_indent='      ',
        break_long_words=False,
        break_on_hyphens=False,
    )
    return ' \\\n'.join(parts)


def _tables() -> Any:
    """Import what writes tables only when one is written."""
    from kvm_tuning.cmd import tables

    return tables


def escaped(text: str, keep: str = '') -> str:
    """Return ``text`` with what does not print as an escape: names of guests,
    threads and files are anybody's, and a terminal obeys what it reads.

    :param keep: characters that are printed all the same.
    """
    if text.isprintable():
        return text
    return ''.join(
        each
        if each.isprintable() or each in keep
        else each.encode('unicode_escape').decode()
        for each in text
    )


def _cell(value: Any) -> Any:
    return escaped(value) if isinstance(value, str) else value


def paragraph(text: str) -> str:
    """Return ``text`` as one item of a list."""
    return f'- {text}'


def _write_yaml(document: Any, stdout: Any) -> None:
    import yaml

    yaml.safe_dump(document, stdout, default_flow_style=False, sort_keys=False)
