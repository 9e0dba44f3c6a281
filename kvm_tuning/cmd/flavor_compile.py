"""``kvm-tuning flavor compile`` and ``push``: our keys as Nova's own."""

import argparse
from collections.abc import Mapping
import dataclasses
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.core import compiled
from kvm_tuning.core.exceptions import RequestError, raise_all

if TYPE_CHECKING:
    from kvm_tuning.core.documents import Flavor, Image

COLUMNS = ('key', 'value', 'derived')


class FlavorCompile(Report):
    """Print a flavor's extra specs with what Nova itself has to know.

    VFs become a PCI alias, and what a host must have for the flavor becomes
    required traits. Two keys record what was derived, so that it can be told
    from what the operator set.
    """

    examples = (
        'kvm-tuning flavor compile perf.json',
        'kvm-tuning flavor compile perf.json --alias fast-nic -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_request(parser, positional=True)
        add_alias(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        before, after = both_specs(self.app.options, parsed_args)
        set_ = compiled.stated(before)
        rows = [
            (key, value, 'yes' if set_.get(key) != value else '')
            for key, value in sorted(after.items())
        ]
        return Output(
            {'flavor': parsed_args.flavor, 'extra_specs': after},
            (Section('', COLUMNS, rows, lines=() if rows else ('none',)),),
        )


class FlavorPush(Report):
    """Set a flavor's extra specs in a cloud, compiled, after a diff.

    The flavor must exist there: its size is the cloud's. What an earlier push
    derived and nothing asks for any more is removed.
    """

    examples = (
        'kvm-tuning flavor push perf.json --os-cloud mycloud --dry-run',
        'kvm-tuning flavor push perf.json --os-cloud mycloud --prune',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_request(parser, positional=True)
        add_alias(parser)
        add_cloud(parser)
        parser.add_argument(
            '--prune',
            action='store_true',
            help='Remove the extra specs that the document does not have.',
        )
        arguments.add_detailed(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import cloud
        from kvm_tuning.cmd import requests

        given = requests.flavor(parsed_args.flavor)
        image = requests.image(parsed_args.image)
        compile_flavor(self.app.options, given, image, parsed_args.alias)
        connection = cloud.connect(parsed_args.os_cloud)
        name = given.name
        flavor, now = cloud.flavor_specs(connection, name)
        wanted = self._wanted(parsed_args, given, image, now)
        changes = cloud.differences(now, wanted, prune=True)
        if changes and not parsed_args.dry_run:
            cloud.push(connection, flavor, changes)
            self.changed(parsed_args)
        rows = [(c.key, c.now, c.wanted) for c in changes]
        done = 'nothing to change'
        if changes:
            done = 'not changed' if parsed_args.dry_run else 'changed'
        return Output(
            {
                'flavor': name,
                'changed': bool(changes) and not parsed_args.dry_run,
                'differences': [
                    {'key': key, 'now': now_, 'wanted': want}
                    for key, now_, want in rows
                ],
            },
            (Section('', ('key', 'now', 'wanted'), rows, lines=(done,)),),
        )

    def _wanted(
        self,
        parsed_args: argparse.Namespace,
        given: 'Flavor',
        image: 'Image | None',
        now: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Return all extra specs that the flavor should have.

        :raises RequestError: those of the cloud and of the document do not
            go together.
        """
        from kvm_tuning import loader

        ours = compiled.stated(given.extra_specs)
        if not parsed_args.prune:
            knobs = loader.knobs(loader.load())
            theirs = compiled.recorded(now, parsed_args.alias, knobs)
            ours = compiled.stated(theirs) | ours
        try:
            return compile_flavor(
                self.app.options,
                dataclasses.replace(given, extra_specs=ours),
                image,
                parsed_args.alias,
            )
        except RequestError as error:
            raise_all(
                [
                    type(each)(
                        f'with what the cloud has in flavor {given.name} '
                        f'(--prune removes it): {each}'
                    )
                    for each in getattr(error, 'errors', (error,))
                ]
            )
            raise


def add_alias(parser: argparse.ArgumentParser) -> None:
    """Add ``--alias``."""
    parser.add_argument(
        '--alias',
        default=compiled.VF_ALIAS,
        help="Nova's [pci] alias of the VFs (default: %(default)s).",
    )


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """Add ``--os-cloud`` and ``--dry-run``."""
    parser.add_argument(
        '--os-cloud',
        metavar='NAME',
        help='The cloud, as in clouds.yaml; else the environment says it.',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='Show what would change, and change nothing.',
    )


def both_specs(
    options: argparse.Namespace,
    parsed_args: argparse.Namespace,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return a flavor's extra specs as they are, and compiled, once they are
    known to be sound.

    :raises RequestError: they are not.
    """
    from kvm_tuning.cmd import requests

    flavor = requests.flavor(parsed_args.flavor)
    image = requests.image(parsed_args.image)
    after = compile_flavor(options, flavor, image, parsed_args.alias)
    return dict(flavor.extra_specs), after


def compile_flavor(
    options: argparse.Namespace,
    flavor: 'Flavor',
    image: 'Image | None',
    alias: str,
) -> dict[str, str]:
    """Return a flavor's extra specs compiled, once they are known to be
    sound.

    :param alias: Nova's ``[pci] alias`` of the VFs.
    :raises RequestError: they are not.
    """
    from kvm_tuning import loader
    from kvm_tuning.cmd import requests
    from kvm_tuning.core import plan, request

    hooks = loader.load()
    conf = arguments.configuration(options, '/')
    knobs = loader.knobs(hooks)
    asked = request.read(flavor, image, knobs, requests.profiles(hooks, conf))
    plan.check(plan.ours(hooks, asked), asked)
    return compiled.compile(flavor.extra_specs, alias, knobs)
