"""``kvm-tuning guest vendordata``: what cloud-init is to do in a guest."""

import argparse
from collections.abc import Sequence
import json
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Command
from kvm_tuning.core.exceptions import LibvirtFailed, WrongUsage

if TYPE_CHECKING:
    from kvm_tuning.core.effects import Setting


class GuestVendordata(Command):
    """Print the vendordata that has a guest tune itself.

    Without a guest it suits any guest of Linux: a file for Nova's [api]
    vendordata_jsonfile_path. With one it is what the guest's receipt says,
    as the service of dynamic vendordata answers.
    """

    examples = (
        'kvm-tuning guest vendordata > /etc/nova/vendordata.json',
        'kvm-tuning guest vendordata instance-00000001 --script',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_connect(parser)
        parser.add_argument(
            'guest',
            metavar='GUEST',
            nargs='?',
            help='The name or UUID of a guest of this host.',
        )
        parser.add_argument(
            '--script',
            action='store_true',
            help='Print the script alone, not the JSON around it.',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning.core import guest_boot
        from kvm_tuning.hooks import guest_tuning

        if parsed_args.guest is None:
            settings: Sequence[Setting] = guest_tuning.for_any_guest()
        else:
            settings = self._receipt(parsed_args)
        made = guest_boot.vendordata(settings)
        if parsed_args.script:
            if not isinstance(made, str):
                raise WrongUsage('there is nothing for this guest to do')
            self.app.stdout.write(made)
        else:
            document = json.dumps({'cloud-init': made}, indent=2)
            self.app.stdout.write(f'{document}\n')
        return self.status

    def _receipt(self, parsed_args: argparse.Namespace) -> 'Sequence[Setting]':
        from kvm_tuning.adapters import connection
        from kvm_tuning.adapters.vendordata import receipts

        conf = arguments.configuration(self.app.options)
        uri = parsed_args.connect or conf.libvirt.uri
        with connection.open(uri, read_only=True) as libvirt:
            uuid = libvirt.record(parsed_args.guest).uuid
        settings = receipts.settings(uri, uuid)
        if settings is None:
            raise LibvirtFailed(f'domain {parsed_args.guest!r} is gone')
        return settings
