"""``kvm-tuning host provision`` and ``cloud-init``: a new host from one
document.
"""

import argparse
from collections.abc import Mapping
import json
import tempfile
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments, command, files, host_session
from kvm_tuning.cmd.command import (
    Command,
    Output,
    Report,
    Section,
    message_of,
)
from kvm_tuning.core.exceptions import (
    ConfigInvalid,
    KvmTuningError,
    SettingRejected,
)

if TYPE_CHECKING:
    from kvm_tuning.host.prep.provision import State

#: Drivers are still being loaded when a host boots for the first time.
_WAIT_SECONDS = 30.0
#: A port that appears starts a unit that makes it ready: as long as the unit
#: may take.
_PATIENCE_SECONDS = 600.0
_MODULES = 'cloud_config_modules'
# cloud-init's schema knows no name but its own modules', and passes over
# names that stand with a frequency: else it warns.
_OURS = (['kvm_tuning', 'always'], 'kvm_tuning')


class HostProvision(Report):
    """Set this host up as a document says; what cloud-init runs.

    Writes the configuration, installs and enables the unit of host-prep,
    applies, and says whether a reboot is to follow. It can be run again at
    any time. The ready gate is shut until it has succeeded once.
    """

    examples = (
        'kvm-tuning host provision node.yaml',
        'kvm-tuning host provision -f json - < node.yaml',
        'kvm-tuning host provision --check node.yaml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'document',
            metavar='DOCUMENT',
            help=(
                'What cloud-config has below the key kvm_tuning, with that '
                'key or without it, as YAML or JSON; - for standard input.'
            ),
        )
        parser.add_argument(
            '--check',
            action='store_true',
            help=(
                'Only see that the document makes sense, down to the type of '
                'each option; change nothing.'
            ),
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.host import document, document_values
        from kvm_tuning.host.prep import provision
        from kvm_tuning.host.prep.provision import State, Step

        text = files.text(parsed_args.document, 'document')
        # Before the gate is shut: the document is not at fault.
        document.require()
        if parsed_args.check:
            section = document.unwrapped(
                document_values.read(text, document.KEY)
            )
            document.check(section)
            _check(document.text(section))
            return _output({'valid': True, 'groups': _groups(section)})
        system = host_session.system(host_session.ROOT)
        boot = host_session.boot_id(host_session.ROOT)
        try:
            section = document.unwrapped(
                document_values.read(text, document.KEY)
            )
        except ConfigInvalid as error:
            name = provision.digest(text)
            reached = State(Step.FAILED, name, message_of(error), ran=boot)
            provision.note(system, reached)
            raise
        name = provision.digest(section)
        before = provision.state(system.tree())
        if (
            before is None
            or before.digest != name
            or before.step not in (Step.REBOOT, Step.DONE)
        ):
            before = State(Step.BEGUN, name, ran=boot)
            provision.note(system, before)
        try:
            document.check(section)
            return self._make(section, before)
        except Exception as error:
            said = (
                message_of(error)
                if isinstance(error, KvmTuningError)
                else repr(error)
            )
            reached = State(Step.FAILED, name, said, ran=boot)
            provision.note(system, reached)
            raise

    def _make(self, section: Mapping[str, Any], before: 'State') -> Output:
        from kvm_tuning.host import document, ready
        from kvm_tuning.host.prep import provision
        from kvm_tuning.host.prep.kinds import services
        from kvm_tuning.host.prep.kinds.kind import UNIT
        from kvm_tuning.host.prep.provision import State, Step

        system = host_session.system(host_session.ROOT)
        options = document.text(section)
        _check(options)
        written = provision.write(
            system, provision.files(system.tree(), options)
        )
        if written or not services.enabled(system.tree(), UNIT):
            provision.enable(system, bool(written))
        outcome = host_session.apply(
            self.app.options, False, _WAIT_SECONDS, _PATIENCE_SECONDS
        )
        if outcome.failed:
            raise SettingRejected('; '.join(outcome.failed))
        session = host_session.open_session(
            self.app.options, host_session.ROOT
        )
        waiting = _waiting(session)
        boot = session.host.boot_id
        if waiting and before.step is Step.REBOOT and before.boot != boot:
            raise SettingRejected(
                f'after the reboot that was made for it, there still waits '
                f'for one: {", ".join(waiting)}'
            )
        step = Step.REBOOT if waiting else Step.DONE
        reached = State(
            step, before.digest, boot=boot if waiting else '', ran=boot
        )
        if reached != before:
            provision.note(system, reached)
        reasons = ready.check(host_session.ROOT, session.conf)
        if reasons and not waiting:
            self.status = command.FOUND
        return _output(
            {
                'ready': not reasons,
                'reboot': bool(waiting) and section.get('reboot', False),
                'waiting': waiting,
                'written': written,
                'changed': outcome.changed,
                'notes': outcome.notes,
                'reasons': list(reasons),
            }
        )


class HostCloudInit(Command):
    """Print a configuration of cloud-init that runs our module.

    It goes to /etc/cloud/cloud.cfg.d/50_kvm_tuning.cfg. A list of modules
    there replaces those of other files, so it is the list that cloud-init
    itself merges from all of them, with our module at its end.
    """

    examples = (
        'kvm-tuning host cloud-init > '
        '/etc/cloud/cloud.cfg.d/50_kvm_tuning.cfg',
        'kvm-tuning host cloud-init --schema',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        parser.add_argument(
            '--schema',
            action='store_true',
            help='Print the JSON schema of our key of cloud-config instead.',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        import yaml

        from kvm_tuning.host import document
        from kvm_tuning.host.access import cloud_init

        if parsed_args.schema:
            json.dump(document.schema(), self.app.stdout, indent=2)
            self.app.stdout.write('\n')
            return self.status
        root = arguments.root(parsed_args)
        modules = cloud_init.merged(root).get(_MODULES)
        if not isinstance(modules, list):
            raise ConfigInvalid(
                f"cloud-init's configuration below {root} has no list of "
                f'{_MODULES}'
            )
        others = [each for each in modules if each not in _OURS]
        self.app.stdout.write(
            yaml.safe_dump(
                {_MODULES: [*others, _OURS[0]]}, default_flow_style=None
            )
        )
        return self.status


def _groups(section: Mapping[str, Any]) -> list[str]:
    return sorted(section.get('config', {}))


def _check(options: str) -> None:
    """See that the options make sense, before they are written.

    :raises ConfigInvalid: what does not.
    """
    from kvm_tuning.host import configuration
    from kvm_tuning.host.inventory.host import Host
    from kvm_tuning.host.prep import configured
    from kvm_tuning.host.prep.journal import Journal

    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write(options)
        file.flush()
        conf = configuration.load(host_session.ROOT, [file.name])
    # Some options are understood only where they are used.
    host = Host(host_session.system(host_session.ROOT).tree())
    configured.items(conf, host, Journal())
    configured.terms(conf, host)


def _waiting(session: host_session.Session) -> list[str]:
    """Return the labels of what a reboot brings into force."""
    from kvm_tuning.host.prep.goals import Goal, When
    from kvm_tuning.host.prep.kinds.modprobe import NOT_LOADED

    # A reboot loads a module again, too; one that is not loaded takes its
    # options whenever it comes, which no reboot need bring about.
    return [
        item.label
        for item in session.items()
        if isinstance(item, Goal)
        and not item.optional
        and item.reached
        and not item.in_force
        and (
            item.when is When.REBOOT
            or (item.when is When.RELOAD and item.running != NOT_LOADED)
        )
    ]


def _output(document: dict[str, Any]) -> Output:
    rows = [
        (key, ', '.join(value) if isinstance(value, list) else str(value))
        for key, value in document.items()
    ]
    return Output(document, (Section('', ('what', 'is'), rows),))
