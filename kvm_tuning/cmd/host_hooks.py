"""``kvm-tuning host hooks``: keep guests tuned however they start."""

import argparse
from collections.abc import Sequence
import os
import sys

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import Lister
from kvm_tuning.core.exceptions import WrongUsage

_PROGRAM = '/usr/bin/kvm-tuning'


class _Hooks(Lister):
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


class HostHooksInstall(_Hooks):
    """Install libvirt's hook script and the units of systemd behind it.

    They call "guest reconcile" when a guest starts, migrates here or ends.
    Lists what was written; a file that somebody else made is never touched.
    """

    examples = ('kvm-tuning host hooks install',)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--program',
            metavar='PATH',
            help='Absolute path of kvm-tuning (default: this program).',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[str]]]:
        from kvm_tuning.host.access.system import System
        from kvm_tuning.host.guests import libvirt_hooks

        program = parsed_args.program or _this_program()
        if not os.path.isabs(program) or not program.isprintable():
            raise WrongUsage(f'--program {program}: want an absolute path')
        system = System(arguments.root(parsed_args))
        written = libvirt_hooks.install(system, program)
        if libvirt_hooks.runs_systemd(system):
            libvirt_hooks.activate(system)
        if written:
            self.changed(parsed_args)
        if f'{libvirt_hooks.SCRIPT}' in written:
            self.say(
                'note: libvirt looks for hook scripts when its daemon starts: '
                'restart libvirtd or virtqemud (guests keep running)'
            )
        return ('written',), [(f'/{path}',) for path in written]


class HostHooksRemove(_Hooks):
    """Remove what "host hooks install" has installed.

    Lists what was removed. Running guests keep their settings.
    """

    examples = ('kvm-tuning host hooks remove',)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[str]]]:
        from kvm_tuning.host.access.system import System
        from kvm_tuning.host.guests import libvirt_hooks

        system = System(arguments.root(parsed_args))
        booted = libvirt_hooks.runs_systemd(system)
        if booted:
            libvirt_hooks.deactivate(system)
        removed = libvirt_hooks.remove(system)
        if booted and removed:
            libvirt_hooks.reload(system)
        if removed:
            self.changed(parsed_args)
        return ('removed',), [(f'/{path}',) for path in removed]


def _this_program() -> str:
    path = os.path.abspath(sys.argv[0])
    called = os.path.basename(path) == 'kvm-tuning' and os.path.exists(path)
    return path if called else _PROGRAM
