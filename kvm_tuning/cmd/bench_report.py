"""``kvm-tuning bench report``: compare what was measured on machines."""

import argparse

from kvm_tuning.cmd import bench_files, bench_result
from kvm_tuning.cmd.command import Output, Report


class BenchReport(Report):
    """Show results of "bench", and in what their machines differ.

    With one file its tables, with several also what differs between their
    machines and parameters.
    """

    examples = (
        'kvm-tuning bench report a.json b.json',
        'kvm-tuning bench report a.json b.json --html both.html',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'files',
            metavar='FILE',
            nargs='+',
            help='What "bench memory --output" has written.',
        )
        parser.add_argument(
            '--html',
            metavar='FILE',
            help='Write a page with plots here (needs kvm-tuning[bench]).',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        bench_files.check_outputs(parsed_args)
        results = [bench_files.read(path) for path in parsed_args.files]
        bench_files.write(parsed_args, results)
        return bench_result.output(results)
