"""``kvm-tuning exporter``: metrics for Prometheus."""

import argparse
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import SUCCESS, Command
from kvm_tuning.core.exceptions import ConfigInvalid

if TYPE_CHECKING:
    from kvm_tuning.adapters.exporter.source import Settings

LISTEN = '127.0.0.1:9752'
_PROMISES_SECONDS = 600


class Exporter(Command):
    """Serve metrics of this host and its guests for Prometheus.

    Findings, broken promises, remote memory, what is free and what fits. It
    listens on loopback unless --listen says otherwise, without encryption.
    With --textfile it writes them once, for node_exporter, and ends.
    """

    examples = (
        'kvm-tuning exporter --flavor web.yaml db.yaml',
        'kvm-tuning exporter --textfile '
        '/var/lib/node_exporter/kvm_tuning.prom',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            '--listen',
            metavar='ADDRESS:PORT',
            default=LISTEN,
            help='Listen here (default: %(default)s).',
        )
        how.add_argument(
            '--textfile',
            metavar='FILE',
            help='Write the metrics to this file instead, and end.',
        )
        parser.add_argument(
            '--flavor',
            metavar='FLAVOR',
            dest='flavors',
            action='extend',
            nargs='+',
            default=[],
            help='Count how many more guests of these flavors fit.',
        )
        parser.add_argument(
            '--per-vcpu',
            action='store_true',
            help='Have series for each vCPU, too.',
        )
        parser.add_argument(
            '--promises',
            metavar='SECONDS',
            type=_seconds,
            default=_PROMISES_SECONDS,
            help=(
                'Compare promises with what guests have this often (default: '
                "%(default)s): it walks the guests' page tables; 0: never."
            ),
        )
        parser.add_argument(
            '--no-libvirt',
            action='store_true',
            help='Look at /proc alone.',
        )
        arguments.add_root(parser)
        arguments.add_connect(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        try:
            from kvm_tuning.wsgi import exporter
        except ImportError as error:
            raise ConfigInvalid(
                f'kvm-tuning exporter needs the library prometheus_client '
                f'({error}): pip install kvm-tuning[exporter]'
            ) from error
        made = exporter.registry(
            self._settings(parsed_args), parsed_args.per_vcpu
        )
        if parsed_args.textfile is not None:
            exporter.write(made, parsed_args.textfile)
            return SUCCESS
        serving = exporter.server(made, parsed_args.listen)
        self.say(f'listening on {parsed_args.listen}')
        serving.run()
        return SUCCESS

    def _settings(self, parsed_args: argparse.Namespace) -> 'Settings':
        from kvm_tuning import loader
        from kvm_tuning.adapters.exporter.source import Settings
        from kvm_tuning.cmd import requests

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        hooks = loader.load()
        without = parsed_args.no_libvirt or parsed_args.root is not None
        return Settings(
            conf=conf,
            root=root,
            uri=None if without else parsed_args.connect or conf.libvirt.uri,
            hooks=hooks,
            requests=[
                requests.read(
                    argparse.Namespace(flavor=flavor, image=None),
                    hooks,
                    conf,
                    root,
                )
                for flavor in parsed_args.flavors
            ],
            promises_seconds=parsed_args.promises,
        )


def _seconds(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(
            f'want a whole number of seconds, not {text!r}'
        )
    return int(text)
