"""``kvm-tuning host hooks`` and ``host units``: what runs by itself."""

import argparse
from collections.abc import Sequence
import os
import sys

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Lister
from kvm_tuning.core.exceptions import WrongUsage

_PROGRAM = '/usr/bin/kvm-tuning'


class _Files(Lister):
    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--root',
            metavar='DIR',
            help=(
                'Work on the files below this directory, and call no other '
                'program.'
            ),
        )
        arguments.add_detailed(parser)
        return parser


class _Installs(_Files):
    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--program',
            metavar='PATH',
            help='Absolute path of kvm-tuning (default: this program).',
        )
        return parser

    def program(self, parsed_args: argparse.Namespace) -> str:
        """:raises WrongUsage: it is not an absolute path."""
        path = str(parsed_args.program or _this_program())
        if not os.path.isabs(path) or not path.isprintable():
            raise WrongUsage(f'--program {path}: want an absolute path')
        return path


class HostHooksInstall(_Installs):
    """Install libvirt's hook script and the units of systemd behind it.

    They call "guest reconcile" when a guest starts, migrates here or ends.
    Lists what was written; a file that somebody else made is never touched.
    """

    examples = ('kvm-tuning host hooks install',)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[str]]]:
        from kvm_tuning.host.access import installed
        from kvm_tuning.host.access.system import System
        from kvm_tuning.host.guests import libvirt_hooks

        program = self.program(parsed_args)
        system = System(arguments.root(parsed_args))
        written = libvirt_hooks.install(system, program)
        if installed.runs_systemd(system):
            libvirt_hooks.activate(system)
        if written:
            self.changed(parsed_args)
        if f'{libvirt_hooks.SCRIPT}' in written:
            self.say(
                'note: libvirt looks for hook scripts when its daemon starts: '
                'restart libvirtd or virtqemud (guests keep running)'
            )
        return ('written',), [(f'/{path}',) for path in written]


class HostHooksRemove(_Files):
    """Remove what "host hooks install" has installed.

    Lists what was removed. Running guests keep their settings.
    """

    examples = ('kvm-tuning host hooks remove',)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[str]]]:
        from kvm_tuning.host.access import installed
        from kvm_tuning.host.access.system import System
        from kvm_tuning.host.guests import libvirt_hooks

        system = System(arguments.root(parsed_args))
        booted = installed.runs_systemd(system)
        if booted:
            libvirt_hooks.deactivate(system)
        removed = libvirt_hooks.remove(system)
        if booted and removed:
            installed.systemctl(system, 'daemon-reload')
        if removed:
            self.changed(parsed_args)
        return ('removed',), [(f'/{path}',) for path in removed]


class HostUnitsInstall(_Installs):
    """Install the units that prepare this host at boot, and enable them.

    They run "host apply" before the network and before libvirt, and again for
    a port that appears later. Lists what was written; a file that somebody
    else made is never touched, and a distribution's own units are only
    enabled. Nothing is prepared before the next boot.
    """

    examples = ('kvm-tuning host units install',)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[str]]]:
        from kvm_tuning.host.access.system import System
        from kvm_tuning.host.prep import boot_units

        system = System(arguments.root(parsed_args))
        written = boot_units.install(system, self.program(parsed_args))
        if written:
            self.changed(parsed_args)
        return ('written',), [(f'/{path}',) for path in written]


class HostUnitsRemove(_Files):
    """Remove what "host units install" has installed.

    Lists what was removed. The host stays as it is prepared until it boots;
    "host undo" takes that back.
    """

    examples = ('kvm-tuning host units remove',)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[str]]]:
        from kvm_tuning.host.access.system import System
        from kvm_tuning.host.prep import boot_units

        system = System(arguments.root(parsed_args))
        removed = boot_units.remove(system)
        if removed:
            self.changed(parsed_args)
        return ('removed',), [(f'/{path}',) for path in removed]


def _this_program() -> str:
    path = os.path.abspath(sys.argv[0])
    called = os.path.basename(path) == 'kvm-tuning' and os.path.exists(path)
    return path if called else _PROGRAM
