"""``kvm-tuning flavor``: check a flavor before it is used."""

import argparse
from collections.abc import Sequence
import dataclasses
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import FOUND, Output, Report, Section, paragraph
from kvm_tuning.core.exceptions import (
    ConfigInvalid,
    KvmTuningError,
    WrongUsage,
)

if TYPE_CHECKING:
    from kvm_tuning.cmd.requests import Profiles
    from kvm_tuning.core.documents import Flavor, Image
    from kvm_tuning.core.effects import Consequence
    from kvm_tuning.core.placement import Unkept
    from kvm_tuning.core.request import Request

COLUMNS = ('severity', 'code', 'for', 'text')

_UNDERSTOOD = ('key', 'value', 'by')

Row = tuple[str, str, str, str]


class FlavorCheck(Report):
    """Say all that is wrong with a flavor and an image, and what follows.

    With --root also whether that host could hold such a guest. Exits with 1
    when there is an error.
    """

    examples = (
        'kvm-tuning flavor check perf.json',
        'kvm-tuning flavor check perf.json --image debian.yaml -f json',
        'kvm-tuning flavor check perf.json --root /tmp/other-host',
        'kvm-tuning flavor check perf.json --root / --dedicated-cpus 2-15',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_request(parser, positional=True)
        arguments.add_root(parser)
        arguments.add_cpusets(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        if parsed_args.root is None and arguments.cpusets(parsed_args):
            raise WrongUsage(
                '--dedicated-cpus and --shared-cpus are those of the host '
                'below --root: give it, too (--root / is this host)'
            )
        check = _Check(self.app.options, parsed_args)
        rows = check.rows()
        errors = sum(row[0] == 'error' for row in rows)
        if errors:
            self.status = FOUND
        counted = f'{errors} errors' if errors > 1 else '1 error'
        verdict = counted if errors else 'no errors'
        document = {
            'flavor': parsed_args.flavor,
            'image': parsed_args.image,
            'valid': not errors,
            'findings': [dict(zip(COLUMNS, row, strict=True)) for row in rows],
            'understood': [
                dict(zip(_UNDERSTOOD, row, strict=True))
                for row in check.understood
            ],
        }
        lines = [
            paragraph(f'{severity} ({code}), for the {who}: {text}')
            for severity, code, who, text in rows
        ]
        return Output(
            document,
            (
                _understood(check.understood),
                Section('', lines=(*lines, verdict)),
            ),
            main=Section('', COLUMNS, rows),
        )


def _understood(rows: Sequence[tuple[str, str, str]]) -> Section:
    """Return what is wanted of the guest, or that nothing is."""
    if rows:
        return Section('Understood', _UNDERSTOOD, rows)
    return Section('', lines=('nothing is requested: no guest is tuned',))


class _Check:
    """One check: collects rows."""

    def __init__(
        self, options: argparse.Namespace, parsed_args: argparse.Namespace
    ) -> None:
        from kvm_tuning import loader

        self.args = parsed_args
        self.root = arguments.root(parsed_args)
        self.conf = arguments.configuration(options, self.root)
        self.hooks = loader.load()
        self.errors: list[Row] = []
        #: What the flavor, the image, a profile and the host's defaults want.
        self.understood: list[tuple[str, str, str]] = []

    def rows(self) -> list[Row]:
        from kvm_tuning import loader
        from kvm_tuning.core import plan
        from kvm_tuning.core.nova import spec_names

        request = self._request()
        consequences: Sequence[Consequence] = ()
        unkept: Sequence[Unkept] = ()
        if request is not None:
            self.understood = [
                (asked.key, asked.text, asked.origin)
                for asked in request.asked.values()
            ]
            try:
                consequences = [
                    *plan.check(self.hooks, request),
                    *spec_names.not_done(
                        request.extra_specs, loader.knobs(self.hooks)
                    ),
                ]
                if self.args.root is not None and not self.errors:
                    consequences, unkept = self._on_host(request)
            except WrongUsage:
                raise
            except KvmTuningError as error:
                self._add(error)
        return [
            *dict.fromkeys(self.errors),
            *(
                ('warning', 'NotKept', 'operator', _unkept(each))
                for each in unkept
            ),
            *(
                ('consequence', each.code, each.audience, each.text)
                for each in consequences
            ),
        ]

    def _request(self) -> 'Request | None':
        """Return the request, of what can be read where not all can."""
        from kvm_tuning import loader
        from kvm_tuning.cmd import requests
        from kvm_tuning.core import compiled
        from kvm_tuning.core.exceptions import InvalidDocument

        profiles = requests.profiles(self.hooks, self.conf, self.root)
        flavor: Flavor | None = None
        image: Image | None = None
        try:
            flavor = requests.flavor(self.args.flavor)
        except InvalidDocument as error:
            self._add(error)
        try:
            image = requests.image(self.args.image)
        except InvalidDocument as error:
            self._add(error)
        if flavor is None:
            return None
        for contradiction in compiled.contradictions(
            compiled.stated(flavor.extra_specs), loader.knobs(self.hooks)
        ):
            self._add(contradiction)
        for wrong in requests.misspelt(flavor, loader.knobs(self.hooks)):
            self._add(wrong)
        return self._read(flavor, image, profiles)

    def _read(
        self, flavor: 'Flavor', image: 'Image | None', profiles: 'Profiles'
    ) -> 'Request | None':
        from kvm_tuning import loader
        from kvm_tuning.cmd import requests
        from kvm_tuning.conf import pci
        from kvm_tuning.core import request
        from kvm_tuning.core.exceptions import RequestError

        knobs = loader.knobs(self.hooks)
        aliases = pci.aliases(self.conf)
        preferred = requests.defaults(self.hooks, self.conf)
        try:
            return request.read(
                flavor, image, knobs, profiles, preferred, aliases
            )
        except RequestError as error:
            self._add(error)
        # What contradicts what is only asked of values that can be read:
        # leave out those that cannot.
        good = {}
        for key, text in flavor.extra_specs.items():
            alone = dataclasses.replace(flavor, extra_specs={key: text})
            try:
                request.read(alone, None, knobs, profiles)
            except RequestError:
                continue
            good[key] = text
        rest = dataclasses.replace(flavor, extra_specs=good)
        try:
            return request.read(
                rest, image, knobs, profiles, preferred, aliases
            )
        except RequestError as error:
            self._add(error)
            return None

    def _on_host(
        self, request: 'Request'
    ) -> tuple[Sequence['Consequence'], Sequence['Unkept']]:
        """Plan a guest of this flavor on the host below ``--root``."""
        from kvm_tuning.adapters import offline
        from kvm_tuning.core import plan
        from kvm_tuning.core.capacity.example import example

        cpusets = arguments.cpusets(self.args)
        try:
            site, notes = offline.site(self.root, self.conf, cpusets)
        except ConfigInvalid as error:
            if cpusets:
                raise WrongUsage(str(error)) from error
            raise
        made = plan.make(self.hooks, request, example(request), site)
        return (*made.consequences, *notes), made.unkept

    def _add(self, error: 'KvmTuningError') -> None:
        for each in getattr(error, 'errors', (error,)):
            self.errors.append(('error', each.code, each.who, str(each)))


def _unkept(each: 'Unkept') -> str:
    return (
        f'{each.knob}={each.wanted} is not kept, but {each.found}: '
        f'{each.reason}'
    )
