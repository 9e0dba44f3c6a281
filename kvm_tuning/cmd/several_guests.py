"""Commands that work on guests of libvirt, one after the other."""

import argparse
from collections.abc import Callable, Sequence
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import (
    INCOMPLETE,
    Command,
    Output,
    Report,
    Section,
    message_of,
    status_of,
)
from kvm_tuning.core.exceptions import KvmTuningError, WrongUsage

if TYPE_CHECKING:
    from oslo_config import cfg

    from kvm_tuning.adapters.connection import Connection
    from kvm_tuning.adapters.standalone import Change
    from kvm_tuning.host.guests.settings import Step

_T = TypeVar('_T')


class Tuning(Command):
    """A command that changes guests of libvirt."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_connect(parser)
        arguments.add_detailed(parser)
        return parser

    def configured(
        self, parsed_args: argparse.Namespace
    ) -> 'tuple[cfg.ConfigOpts, str]':
        """Return the configuration and the URI of libvirt."""
        conf = arguments.configuration(self.app.options)
        return conf, parsed_args.connect or conf.libvirt.uri

    def report_failures(self, steps: 'Sequence[Step]') -> None:
        """Report which settings outside of the definition failed."""
        for step in steps:
            if step.result.value == 'failed':
                self.say(f'{step.kind} {step.name}: {step.detail}')
                self.status = INCOMPLETE


class OnGuests(Tuning):
    """A command that takes names of guests, or ``--all``."""

    #: What ``--all`` means, and whether it takes guests that were not tuned.
    everyone = 'Take every domain that was tuned.'
    takes_untuned = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_names(parser)
        parser.add_argument('--all', action='store_true', help=self.everyone)
        return parser

    @functools.cached_property
    def errors(self) -> dict[str, KvmTuningError]:
        """The errors of guests, by name; :meth:`for_each` adds them."""
        return {}

    @staticmethod
    def check_names(parsed_args: argparse.Namespace) -> None:
        """:raises WrongUsage: neither names nor ``--all``, or both."""
        if bool(parsed_args.names) == parsed_args.all:
            raise WrongUsage('give a NAME or several, or --all')

    def names(
        self, parsed_args: argparse.Namespace, libvirt: 'Connection'
    ) -> list[str]:
        """Return the guests that are meant."""
        from kvm_tuning.adapters import audit

        if not parsed_args.all:
            return list(dict.fromkeys(parsed_args.names))
        return [
            record.name
            for record in libvirt.records()
            if self.takes_untuned or audit.tuned(record)
        ]

    def for_each(
        self, names: Sequence[str], work: Callable[[str], _T]
    ) -> dict[str, _T]:
        """Do ``work`` for each guest, and return what it returned, by name.

        One guest's error is reported and does not stop the others; that of
        the only one is raised.
        """
        done = {}
        for name in names:
            try:
                done[name] = work(name)
            except KvmTuningError as error:
                if len(names) == 1:
                    raise
                self.say(f'{name}: {message_of(error)}')
                self.errors[name] = error
                self.status = max(self.status, status_of(error))
        return done


class ChangesGuests(OnGuests, Report):
    """A command that changes the definitions of guests."""

    def output(
        self,
        parsed_args: argparse.Namespace,
        done: 'dict[str, Change]',
        render: 'Callable[[Change], Output]',
    ) -> Output:
        """Return what is printed: the document of one guest that was named,
        or the list of those of several.
        """
        if not self.errors and any(each.changed for each in done.values()):
            self.changed(parsed_args)
        outputs = {name: render(change) for name, change in done.items()}
        if len(parsed_args.names) == 1:
            return next(iter(outputs.values()))
        return self._several(outputs)

    def _several(self, outputs: dict[str, Output]) -> Output:
        documents: list[dict[str, Any]] = [
            each.document for each in outputs.values()
        ]
        documents += [
            {'guest': name, 'changed': False, 'error': message_of(error)}
            for name, error in self.errors.items()
        ]
        sections = [
            section for each in outputs.values() for section in each.sections
        ]
        lines = () if documents else ('no guest was tuned',)
        return Output(
            {'guests': documents},
            (*sections, *([Section('', lines=lines)] if lines else [])),
            main=Section(
                '',
                ('guest', 'changed', 'error'),
                [
                    (each['guest'], each['changed'], each.get('error', ''))
                    for each in documents
                ],
            ),
        )
