"""``kvm-tuning remove``: all that this package has done, undone."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvm_tuning.cmd import command, host_session
from kvm_tuning.cmd.command import Output, Report, Section, message_of
from kvm_tuning.core.exceptions import ConfigInvalid, KvmTuningError

if TYPE_CHECKING:
    from kvm_tuning.host.access.system import System

COLUMNS = ('what', 'result')

Row = tuple[str, str]

_STEPS = {
    'restore': 'would be put back',
    'forget': 'would be forgotten',
    'refuse': 'left',
}


class Remove(Report):
    """Undo all that this package has done to this host.

    Settings are put back by the journal; libvirt's hook script, units and
    drop-ins, the rootwrap filter, cloud-init's files and the state are
    removed, as far as they are there. What you wrote yourself is named and
    left. With --os-cloud the traits go from placement and the derived keys
    from flavors: once, after the last host. Exits with 1 when something is
    left; run it again after that.
    """

    examples = (
        'kvm-tuning remove --dry-run',
        'kvm-tuning remove',
        'kvm-tuning remove --os-cloud mycloud',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help='Show what would be done, and do nothing.',
        )
        parser.add_argument(
            '--os-cloud',
            metavar='NAME',
            help=(
                'Also clean this cloud of clouds.yaml of our traits and of '
                'the derived keys of flavors.'
            ),
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        self.dry_run = parsed_args.dry_run
        rows = list(self._settings())
        # What says how to undo the settings stays as long as they do.
        kept = self.status != command.SUCCESS
        rows += [*self._libvirt(), *self._files(keep_state=kept)]
        if parsed_args.os_cloud:
            rows += self._cloud(parsed_args.os_cloud)
        return Output(
            {
                'complete': self.status == command.SUCCESS,
                'done': not self.dry_run,
                'items': [
                    dict(zip(COLUMNS, row, strict=True)) for row in rows
                ],
            },
            (Section('', COLUMNS, rows, lines=() if rows else ('nothing',)),),
        )

    def _failed(self, what: str, error: Exception) -> Row:
        self.status = command.FOUND
        if isinstance(error, KvmTuningError):
            return what, f'left: {message_of(error)}'
        return what, f'left: {getattr(error, "strerror", None) or error}'

    def _left(self, what: str, why: str) -> Row:
        self.status = command.FOUND
        return what, f'left: {why}'

    def _done(self, verb: str) -> str:
        return f'would be {verb}' if self.dry_run else verb

    def _session(self, changing: bool = False) -> host_session.Session:
        """Return a session with the host's configuration, or with none where
        that cannot be read: the journal says all that matters.
        """
        try:
            return host_session.open_for_undo(self.app.options, changing)
        except ConfigInvalid as error:
            # Somebody else's is not followed.
            return host_session.with_defaults(str(error))

    def _settings(self) -> Iterator[Row]:
        """Put back what the journal has."""
        from kvm_tuning.host.prep import apply, undo, undone

        try:
            session = self._session()
            entries = list(session.journal)
            for note in session.notes if entries else ():
                self.say(note)
            if self.dry_run or not entries:
                for step in undo.plan(session.context(), lambda entry: True):
                    if step.action == 'refuse':
                        self.status = command.FOUND
                    said = f': {step.reason}' if step.reason else ''
                    yield step.entry.title, f'{_STEPS[step.action]}{said}'
                return
            with host_session.locked():
                session = self._session(changing=True)
                undone.begin(host_session.system(host_session.ROOT))
                apply.resume(session.context())
                outcome = undo.undo(session.context())
        except KvmTuningError as error:
            yield self._failed('host settings', error)
            return
        for label in outcome.changed:
            yield label, 'put back'
        for said in outcome.failed:
            yield self._left('host settings', said)

    def _libvirt(self) -> Iterator[Row]:
        """Remove libvirt's hook script and the units behind it."""
        from kvm_tuning.host.access import installed
        from kvm_tuning.host.guests import libvirt_hooks

        system = host_session.system(host_session.ROOT)
        try:
            if self.dry_run:
                found = libvirt_hooks.found(system)
            else:
                booted = installed.runs_systemd(system)
                if booted:
                    libvirt_hooks.deactivate(system)
                found = libvirt_hooks.remove(system)
                if booted and found:
                    installed.systemctl(system, 'daemon-reload')
        except KvmTuningError as error:
            yield self._failed("libvirt's hooks", error)
            return
        for path in found:
            yield f'/{path}', self._done('removed')

    def _files(self, keep_state: bool) -> Iterator[Row]:
        from kvm_tuning.host.prep import provision, removal

        system = host_session.system(host_session.ROOT)
        kept = {provision.CONFIGURATION} if keep_state else set()
        units = False
        for found in removal.find(system.tree()):
            if found.path in kept:
                yield self._left(
                    f'/{found.path}', 'settings are still in force'
                )
            elif found.left is not None:
                yield self._left(f'/{found.path}', found.left)
            else:
                try:
                    if not self.dry_run:
                        removal.remove(system, found)
                    units = units or 'systemd' in found.path
                    yield f'/{found.path}', self._done('removed')
                except OSError as error:
                    yield self._failed(f'/{found.path}', error)
        if not self.dry_run:
            yield from self._end(system, units)

    def _end(self, system: 'System', units: bool) -> Iterator[Row]:
        from kvm_tuning.host.access import installed
        from kvm_tuning.host.prep import removal

        try:
            if units and installed.runs_systemd(system):
                installed.systemctl(system, 'daemon-reload')
            removal.forget(system)
        except (OSError, KvmTuningError) as error:
            yield self._failed('what is left of directories', error)

    def _cloud(self, name: str) -> Iterator[Row]:
        from kvm_tuning.adapters import cloud
        from kvm_tuning.core import compiled

        try:
            connection = cloud.connect(name)
            for provider, trait in cloud.retire(
                connection, compiled.TRAITS, self.dry_run
            ):
                yield f'{trait} of {provider}', self._done('removed')
            for flavor, now in cloud.recorded_flavors(connection):
                stated = compiled.stated(now)
                changes = cloud.differences(now, stated, prune=True)
                if not self.dry_run:
                    cloud.push(connection, flavor, changes)
                yield f'derived keys of {flavor.name}', self._done('removed')
        except KvmTuningError as error:
            yield self._failed(f'cloud {name}', error)
