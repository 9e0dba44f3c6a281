"""``kvm-tuning guest plan``: show what tuning a guest would change."""

import argparse
from collections.abc import Iterator
import contextlib
import dataclasses
import difflib
import os
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments, complete
from kvm_tuning.cmd.command import Output, Report
from kvm_tuning.core.exceptions import ConfigInvalid, WrongUsage

if TYPE_CHECKING:
    from oslo_config import cfg

    from kvm_tuning.adapters.trial.judge import Judge
    from kvm_tuning.core.domain import Domain
    from kvm_tuning.core.effects import Consequence
    from kvm_tuning.core.guest import Guest
    from kvm_tuning.core.plan import Plan
    from kvm_tuning.core.site import Site

    Situation = tuple[Site, tuple[Consequence, ...]]


class GuestPlan(Report):
    """Show what would become of a guest. Changes nothing.

    With --root and --xml it needs neither libvirt nor root rights; --root /
    is this host, without what its guests hold.
    """

    examples = (
        'kvm-tuning guest plan --flavor perf.json --domain web1',
        'kvm-tuning guest plan --flavor perf.json --domain web1 --show diff',
        'kvm-tuning guest plan --flavor perf.json --xml web1.xml '
        '--root /tmp/other-host --taken 0-3',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_request(parser)
        guest = parser.add_mutually_exclusive_group(required=True)
        complete.completed_by(
            guest.add_argument(
                '--domain', metavar='NAME', help='A domain that libvirt knows.'
            ),
            complete.guests,
        )
        guest.add_argument(
            '--xml', metavar='FILE', help='A domain XML; - for standard input.'
        )
        arguments.add_root(parser)
        arguments.add_connect(parser)
        parser.add_argument(
            '--taken',
            metavar='CPUSET',
            help='Take these pCPUs as held by others.',
        )
        arguments.add_cpusets(parser)
        parser.add_argument(
            '--show',
            choices=('all', 'plan', 'consequences', 'xml', 'diff'),
            default='all',
            help=(
                'The whole plan with its consequences (all), one of the two, '
                "the tuned domain's XML, or its difference to the present one."
            ),
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning import loader
        from kvm_tuning.adapters.trial import planned
        from kvm_tuning.cmd import requests
        from kvm_tuning.core import domain

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        hooks = loader.load()
        request = requests.read(parsed_args, hooks, conf, root)
        guest = domain.read(_xml(parsed_args, conf))
        site, notes = _site(parsed_args, conf, guest.guest, root)
        with _judge(parsed_args, conf, root) as judge:
            tuned = planned.make(hooks, request, guest, site, judge)
        made = dataclasses.replace(
            tuned.plan, consequences=(*tuned.plan.consequences, *notes)
        )
        return _output(parsed_args.show, guest, made, tuned.xml)


@contextlib.contextmanager
def _judge(
    parsed_args: argparse.Namespace, conf: 'cfg.ConfigOpts', root: str
) -> 'Iterator[Judge]':
    """Make the judge of the plan: the libvirt of this host."""
    from kvm_tuning.adapters import connection
    from kvm_tuning.adapters.trial import judge

    uri = parsed_args.connect or conf.libvirt.uri
    if parsed_args.root is None:
        with connection.open(uri, read_only=True) as libvirt:
            version = libvirt.versions()[0]
        with judge.of_host(uri, version, strict=True) as each:
            yield each
    elif os.path.realpath(root) == '/':
        with judge.of_host(uri, None) as each:
            yield each
    else:
        yield judge.Judge(
            missing=f'as that of the host below {root} is not here'
        )


def _xml(parsed_args: argparse.Namespace, conf: 'cfg.ConfigOpts') -> str:
    if parsed_args.xml is not None:
        from kvm_tuning.cmd import files

        return files.text(parsed_args.xml, 'domain XML')
    from kvm_tuning.adapters import connection

    uri = parsed_args.connect or conf.libvirt.uri
    with connection.open(uri, read_only=True) as libvirt:
        record = libvirt.record(parsed_args.domain)
    return record.defined or record.live or ''


def _site(
    parsed_args: argparse.Namespace,
    conf: 'cfg.ConfigOpts',
    guest: 'Guest',
    root: str,
) -> 'Situation':
    """Return the site: below ``--root``, or of this host and its guests."""
    cpusets = arguments.cpusets(parsed_args)
    try:
        if parsed_args.root is not None:
            from kvm_tuning.adapters import offline

            return offline.site(
                root,
                conf,
                cpusets,
                parsed_args.taken,
                [disk.source for disk in guest.disks if disk.source],
            )
        return _live_site(parsed_args, conf, guest, cpusets)
    except ConfigInvalid as error:
        if cpusets or parsed_args.taken is not None:
            raise WrongUsage(str(error)) from error
        raise


def _live_site(
    parsed_args: argparse.Namespace,
    conf: 'cfg.ConfigOpts',
    guest: 'Guest',
    cpusets: dict[str, str],
) -> 'Situation':
    from kvm_tuning.adapters import connection, standalone

    uri = parsed_args.connect or conf.libvirt.uri
    # Who holds what is libvirt's to say; --root / plans without.
    with connection.open(uri, read_only=True) as libvirt:
        site = standalone.site(
            libvirt, conf, guest, cpusets, parsed_args.taken
        )
    return site, ()


def _output(show: str, guest: 'Domain', made: 'Plan', tuned: str) -> Output:
    from kvm_tuning.cmd import plan_report

    if show == 'xml':
        return Output(None, raw=tuned)
    if show == 'diff':
        return Output(None, raw=_diff(guest, tuned))
    document = plan_report.document(made)
    if show == 'consequences':
        return Output(
            {'consequences': document['consequences']},
            (plan_report.consequences(made.consequences),),
            main=plan_report.consequence_table(made.consequences),
        )
    sections = plan_report.sections(made)
    if show == 'plan':
        del document['consequences']
        sections = sections[:-1]
    return Output(document, sections, main=plan_report.effects(made))


def _diff(guest: 'Domain', tuned: str) -> str:
    lines = difflib.unified_diff(
        guest.xml.splitlines(keepends=True),
        tuned.splitlines(keepends=True),
        f'{guest.guest.name} as it is',
        f'{guest.guest.name} as planned',
    )
    # A document may end without a line break.
    return ''.join(
        line if line.endswith('\n') else f'{line}\n' for line in lines
    )
