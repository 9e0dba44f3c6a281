"""``kvm-tuning host status``, ``ready`` and ``fragment``."""

import argparse
import dataclasses
from typing import Any

from kvm_tuning.cmd import arguments, command, host_session
from kvm_tuning.cmd.command import Command, Output, Report, Section, paragraph

_COLUMNS = ('setting', 'wanted', 'running', 'kept in', 'next boot', 'state')


class HostStatus(Report):
    """Show for each setting what is wanted, runs, is kept and will be."""

    examples = (
        'kvm-tuning host status',
        'kvm-tuning host status --root /tmp/other-host -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.host.prep import status
        from kvm_tuning.host.prep.kinds import table

        root = arguments.root(parsed_args)
        session = host_session.open_session(self.app.options, root)
        rows = status.ignored(
            status.rows(
                session.host, table.KINDS, session.journal, session.items()
            ),
            session.conf.host_prep.ready_ignores,
        )
        if any(row.drifted for row in rows):
            self.status = command.FOUND
        main = Section(
            'Settings',
            _COLUMNS,
            [
                (
                    row.setting,
                    host_session.short(row.wanted),
                    host_session.short(row.running),
                    row.persisted,
                    host_session.short(row.next_boot),
                    row.state,
                )
                for row in rows
            ],
            lines=() if rows else ('nothing is configured, nothing is ours',),
        )
        sections = [main]
        remarks = [
            f'{row.setting}: {row.remark}'
            for row in rows
            if row.remark not in ('', status.NOT_APPLIED)
        ]
        shared = [
            f'{row.setting}: {who}' for row in rows for who in row.others
        ]
        for title, lines in (('Remarks', remarks), ('Set by others', shared)):
            if lines:
                lines = list(map(paragraph, lines))
                sections.append(Section(title, lines=lines))
        return Output(
            [dataclasses.asdict(row) for row in rows],
            tuple(sections),
            main=main,
        )


class HostReady(Command):
    """Exit with 0 when the host keeps what is configured, else with 1."""

    examples = ('kvm-tuning host ready', 'kvm-tuning host ready -q; echo $?')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning.host import ready

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        reasons = ready.check(root, conf)
        for reason in reasons:
            self.say(f'not ready: {reason}')
        return command.FOUND if reasons else command.SUCCESS


class HostFragment(Report):
    """Print what nova.conf should say of this host."""

    examples = (
        'kvm-tuning host fragment > /etc/nova/nova.conf.d/kvm-tuning.conf',
        'kvm-tuning host fragment -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.conf import placement
        from kvm_tuning.host.prep import fragment

        root = arguments.root(parsed_args)
        session = host_session.open_session(
            self.app.options, root, private=False
        )
        policy = placement.policy(session.conf, session.host.inventory)
        made = fragment.make(fragment.site(session.conf, session.host, policy))
        if not made.options:
            # A file that the output goes to, and -f value, do not show it.
            self.say(fragment.NOTHING)
        raw = made.text() if parsed_args.formatter == 'table' else None
        return Output(_document(made), raw=raw, main=_table(made))


def _document(made: Any) -> dict[str, Any]:
    groups: dict[str, dict[str, list[str]]] = {}
    for group, option, value in made.options:
        groups.setdefault(group, {}).setdefault(option, []).append(value)
    return {'options': groups, 'notes': list(made.notes)}


def _table(made: Any) -> Section:
    return Section('', ('group', 'option', 'value'), list(made.options))
