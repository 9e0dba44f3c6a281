"""``kvm-tuning knob``: what can be requested."""

import argparse
import difflib
import json
from typing import Any

from kvm_tuning.cmd import complete
from kvm_tuning.cmd.command import Command, Lister, ShowOne
from kvm_tuning.core.exceptions import WrongUsage


class KnobList(Lister):
    """List what can be requested for a guest."""

    spare = ('hook', 'since')
    examples = (
        'kvm-tuning knob list',
        'kvm-tuning knob list -f value -c knob -c values',
    )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        from kvm_tuning import loader

        rows = [
            (
                _key(knob.name, knob.parameter),
                knob.kind.description,
                knob.default or '',
                hook.name,
                knob.since,
            )
            for hook in loader.load()
            for knob in hook.knobs
        ]
        return ('knob', 'values', 'default', 'hook', 'since'), sorted(rows)


class KnobShow(ShowOne):
    """Show one knob: its values, its meaning and who may set it."""

    examples = (
        'kvm-tuning knob show kvm:cpu_locality',
        'kvm-tuning knob show kvm:disk_io -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        complete.completed_by(
            parser.add_argument(
                'name', metavar='NAME', help='The knob, such as kvm:disk_io.'
            ),
            complete.knobs,
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        from kvm_tuning import loader
        from kvm_tuning.core import knobs

        hooks = loader.load()
        known = loader.knobs(hooks)
        knob = known.get(parsed_args.name) or knobs.by_name(
            known, parsed_args.name
        )
        if knob is None:
            close = difflib.get_close_matches(parsed_args.name, known, n=1)
            hint = f'; did you mean {close[0]}?' if close else ''
            raise WrongUsage(f'{parsed_args.name!r} is not a knob{hint}')
        hook = next(hook for hook in hooks if knob in hook.knobs)
        shown: dict[str, Any] = {
            'knob': _key(knob.name, knob.parameter),
            'values': knob.kind.description,
            'default': knob.default or '',
            'help': ' '.join(knob.help.split()),
            'asked by': ', '.join(_sources(knob)),
            'image property': knob.image or '',
            'hook': hook.name,
            'since': knob.since,
            'schema': knob.kind.schema(),
        }
        return tuple(shown), tuple(shown.values())


class KnobMetadefs(Command):
    """Print our knobs as metadata definitions for Glance.

    Loaded into Glance, Horizon offers them when it edits a flavor, with their
    values and their help.
    """

    examples = (
        'kvm-tuning knob metadefs > kvm-tuning.json',
        'glance md-namespace-import --file kvm-tuning.json',
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning import loader
        from kvm_tuning.cmd import knob_schemas

        knobs = [knob for hook in loader.load() for knob in hook.knobs]
        json.dump(knob_schemas.metadefs(knobs), self.app.stdout, indent=2)
        self.app.stdout.write('\n')
        return self.status


def _key(name: str, parameter: str | None) -> str:
    return name if parameter is None else f'{name}.N'


def _sources(knob: Any) -> list[str]:
    sources = ['flavor']
    if knob.image:
        sources.append('image')
    if knob.preferable:
        sources += ['profile', 'default of the host']
    return sources
