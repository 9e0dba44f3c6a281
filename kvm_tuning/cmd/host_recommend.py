"""``kvm-tuning host recommend``: a configuration to start from."""

import argparse

from kvm_tuning.cmd import arguments, guest_assess
from kvm_tuning.cmd.command import Output, Report


class HostRecommend(Report):
    """Recommend which CPUs and memory guests get, as a configuration.

    From the topology and the guests that run. What is printed is a file to be
    reviewed, with the reasons as comments; nothing is changed.
    """

    examples = (
        'kvm-tuning host recommend',
        'kvm-tuning host recommend --root /tmp/other-host',
        'kvm-tuning host recommend -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        guest_assess.add_guests(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import offline
        from kvm_tuning.core.recommend import rule, text

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        records = guest_assess.records(self, parsed_args, conf)
        site, notes = offline.site(root, conf, {}, None, records=records)
        made = rule.recommend(site.inventory, site.ledger)
        said = [*made.notes, *(note.text for note in notes)]
        configuration = text.configuration(made, said)
        return Output(
            {
                'housekeeping_cpus': sorted(made.housekeeping),
                'dedicated_cpus': sorted(made.dedicated),
                'shared_cpus': sorted(made.housekeeping),
                'huge_pages': {
                    str(cell): count for cell, count in made.huge_pages.items()
                },
                'reasons': [
                    {'what': each.what, 'value': each.value, 'why': each.why}
                    for each in made.reasons
                ],
                'notes': said,
                'configuration': configuration,
            },
            # A file: not to be wrapped.
            raw=configuration if parsed_args.formatter == 'table' else None,
        )
