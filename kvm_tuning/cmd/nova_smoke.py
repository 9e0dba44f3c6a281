"""``kvm-tuning nova smoke``: does a cloud keep what flavors promise?"""

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import FOUND, INCOMPLETE, Output, Report, Section
from kvm_tuning.cmd.flavor_compile import add_alias, both_specs
from kvm_tuning.core.exceptions import CloudFailed, LibvirtFailed

if TYPE_CHECKING:
    from kvm_tuning.adapters.smoke import Smoke

COLUMNS = ('flavor', 'status', 'seconds', 'host', 'audit', 'why')

#: Of a server that is on another host, or whose libvirt does not answer.
_UNSEEN = 'not seen'


class NovaSmoke(Report):
    """Boot a server of each flavor, audit it, and delete it.

    Run it on a compute node, where servers can be audited, with the
    environment or the clouds.yaml of a user who may make flavors. Each
    flavor is compiled and made for the time of its server. Exits with 1 when
    a server does not become ACTIVE or breaks a promise, with 3 when one ran
    on another host.
    """

    examples = (
        'kvm-tuning nova smoke --image cirros latency.yaml database.yaml',
        'kvm-tuning nova smoke --image cirros --network private '
        '--most-vcpus 2 --most-ram 512 --most-disk 1 latency.yaml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'flavors', metavar='FLAVOR-FILE', nargs='+', help='Flavors.'
        )
        parser.add_argument(
            '--image',
            metavar='NAME',
            required=True,
            help='Image in the cloud that the servers boot from.',
        )
        parser.add_argument(
            '--network',
            metavar='NAME',
            help='Network in the cloud for one NIC; none without it.',
        )
        for name, what in (
            ('vcpus', 'vCPUs'),
            ('ram', 'MiB of memory'),
            ('disk', 'GiB of disk'),
        ):
            parser.add_argument(
                f'--most-{name}',
                metavar='N',
                type=int,
                help=f'No server gets more {what}, to fit a small host.',
            )
        parser.add_argument(
            '--timeout',
            metavar='SECONDS',
            type=float,
            default=300.0,
            help='Until a server has to be ACTIVE (default: %(default)s).',
        )
        parser.add_argument(
            '--os-cloud',
            metavar='NAME',
            help='The cloud, as in clouds.yaml; else the environment says it.',
        )
        arguments.add_connect(parser)
        add_alias(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import cloud, smoke

        smoker = smoke.Smoke(
            cloud.connect(parsed_args.os_cloud),
            parsed_args.image,
            parsed_args.network,
        )
        rows = [
            self._row(smoker, path, parsed_args)
            for path in parsed_args.flavors
        ]
        kept = [row for row in rows if row['kept']]
        if any(row['kept'] is None for row in rows):
            self.status = INCOMPLETE
        if any(row['kept'] is False for row in rows):
            self.status = FOUND
        shown = [tuple(row[name] for name in COLUMNS) for row in rows]
        line = f'{len(kept)} of {len(rows)} as promised'
        return Output(
            rows, (Section('', COLUMNS, shown), Section('', lines=(line,)))
        )

    def _row(
        self, smoker: 'Smoke', path: str, parsed_args: argparse.Namespace
    ) -> dict[str, Any]:
        """Return what came of one flavor; ``kept`` is None where it could
        not be audited.
        """
        from kvm_tuning.adapters import smoke
        from kvm_tuning.cmd import requests

        flavor = requests.flavor(path)
        _before, specs = both_specs(
            self.app.options,
            argparse.Namespace(
                flavor=path, image=None, alias=parsed_args.alias
            ),
        )
        sizes = smoke.Sizes(
            parsed_args.most_vcpus,
            parsed_args.most_ram,
            parsed_args.most_disk,
        )
        row = {'flavor': flavor.name, 'seconds': '', 'host': '', 'audit': ''}
        try:
            with smoker.boot(
                flavor, specs, sizes, parsed_args.timeout
            ) as booted:
                row |= {
                    'status': booted.status,
                    'seconds': f'{booted.seconds:.1f}',
                    'host': booted.host,
                    'why': booted.why,
                }
                if booted.status != 'ACTIVE':
                    return row | {'kept': False}
                return row | self._audit(booted.uuid, parsed_args)
        except CloudFailed as error:
            return row | {
                'status': 'refused',
                'why': str(error),
                'kept': False,
            }

    def _audit(
        self, uuid: str, parsed_args: argparse.Namespace
    ) -> dict[str, Any]:
        from kvm_tuning.adapters import audit, connection

        conf = arguments.configuration(self.app.options)
        uri = parsed_args.connect or conf.libvirt.uri
        try:
            with connection.open(uri, read_only=True) as libvirt:
                (found,) = audit.audit(libvirt, conf, [uuid])
        except LibvirtFailed as error:
            return {'audit': _UNSEEN, 'why': str(error), 'kept': None}
        counts = Counter(each.severity.value for each in found.findings)
        broken = [
            f'{each.address}: {each.found}, not {each.wanted}'
            for each in found.findings
            if each.severity.value == 'error'
        ]
        return {
            'audit': ', '.join(f'{n} {word}' for word, n in counts.items()),
            'why': '; '.join(broken),
            'kept': not broken,
        }
