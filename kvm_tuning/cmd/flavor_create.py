"""``kvm-tuning flavor create``: a flavor from its document."""

import argparse
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.cmd.flavor_compile import add_alias, add_cloud, compile_flavor

if TYPE_CHECKING:
    from kvm_tuning.core.documents import NewFlavor


class FlavorCreate(Report):
    """Create a flavor in a cloud as its document says.

    Name, ID, size, visibility, description and the compiled extra specs are
    the document's. Without an ID, or with "auto", the cloud chooses one. A
    flavor of that name is left as it is; it is an error when its size or
    visibility is not the document's.
    """

    examples = (
        'kvm-tuning flavor create --from perf.yaml --os-cloud mycloud',
        'kvm-tuning flavor create --from perf.yaml --dry-run -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--from',
            dest='flavor',
            metavar='FILE',
            required=True,
            help=(
                'What "openstack flavor show -f json" (or yaml) prints; - '
                'for standard input.'
            ),
        )
        parser.add_argument(
            '--keep',
            action='store_true',
            help='Accept a flavor of that name whose size is another one.',
        )
        add_alias(parser)
        add_cloud(parser)
        arguments.add_detailed(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import cloud
        from kvm_tuning.cmd import requests
        from kvm_tuning.core.exceptions import InvalidDocument

        wanted = requests.new_flavor(parsed_args.flavor)
        name = wanted.flavor.name
        specs = compile_flavor(
            self.app.options, wanted.flavor, None, parsed_args.alias
        )
        connection = cloud.connect(parsed_args.os_cloud)
        found = cloud.find_flavor(connection, name)
        if found is not None:
            unlike = cloud.unlike(found, wanted)
            if unlike and not parsed_args.keep:
                said = ', '.join(
                    f'{field} {has}, not {want}'
                    for field, (has, want) in unlike.items()
                )
                raise InvalidDocument(
                    f'the cloud has a flavor {name!r} with {said}: delete '
                    f'it, give this one another name, or use --keep'
                )
            return _output(wanted, specs, False, 'it exists')
        if not parsed_args.dry_run:
            cloud.create_flavor(connection, wanted, specs)
            self.changed(parsed_args)
        said = 'would be created' if parsed_args.dry_run else 'created'
        return _output(wanted, specs, not parsed_args.dry_run, said)


def _output(
    wanted: 'NewFlavor', specs: dict[str, str], created: bool, said: str
) -> Output:
    fields: dict[str, Any] = {
        'name': wanted.flavor.name,
        'id': wanted.id or 'auto',
        'vcpus': wanted.flavor.vcpus,
        'ram': wanted.flavor.ram_mib,
        'disk': wanted.flavor.disk_gib,
        'swap': wanted.swap_mib,
        'ephemeral': wanted.ephemeral_gib,
        'rxtx_factor': wanted.rxtx_factor,
        'public': wanted.public,
        'description': wanted.description,
        'projects': list(wanted.projects),
    }
    rows = [
        (key, ', '.join(value) if isinstance(value, list) else value)
        for key, value in fields.items()
    ]
    rows += sorted(specs.items())
    return Output(
        {**fields, 'properties': specs, 'created': created},
        (Section('', ('field', 'value'), rows, lines=(said,)),),
    )
