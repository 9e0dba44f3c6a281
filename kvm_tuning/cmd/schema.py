"""``kvm-tuning schema``: JSON schemas of what the commands read."""

import argparse
import json
from typing import Any

from kvm_tuning.cmd.command import Command

#: By name: what each describes.
NAMES = {
    'cloud-init': "kvm-tuning's key of cloud-config",
    'configuration': 'the options of kvm-tuning.conf, by group',
    'flavor': 'a flavor file',
    'image': 'an image file',
}


class Schema(Command):
    """Print the JSON schema of a file, for editors and for checks.

    It is derived from the declarations of the knobs and of the options, also
    of those that hooks of others bring.
    """

    examples = (
        'kvm-tuning schema flavor > flavor.json',
        'kvm-tuning schema configuration',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'name',
            metavar='NAME',
            choices=sorted(NAMES),
            help='; '.join(f'{name}: {NAMES[name]}' for name in sorted(NAMES)),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        json.dump(make(parsed_args.name), self.app.stdout, indent=2)
        self.app.stdout.write('\n')
        return self.status


def make(name: str) -> dict[str, Any]:
    """Return the schema called ``name``."""
    if name in ('flavor', 'image'):
        from kvm_tuning import loader
        from kvm_tuning.cmd import knob_schemas

        knobs = [knob for hook in loader.load() for knob in hook.knobs]
        if name == 'flavor':
            return knob_schemas.flavor(knobs)
        return knob_schemas.image(knobs)
    from kvm_tuning.host import document

    whole = document.schema()
    if name == 'cloud-init':
        return whole
    config: dict[str, Any] = whole['properties'][document.KEY]['properties'][
        'config'
    ]
    return {
        '$schema': whole['$schema'],
        'title': 'The configuration of kvm-tuning',
        **config,
    }
