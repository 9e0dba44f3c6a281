"""The files that ``kvm-tuning bench`` writes and reads."""

import argparse
from collections.abc import Sequence
import json
import os
from typing import Any

from kvm_tuning.cmd import bench_page, bench_result, files
from kvm_tuning.cmd.bench_result import Result
from kvm_tuning.core.exceptions import BenchFailed, WrongUsage


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add ``--output`` and ``--html``."""
    parser.add_argument(
        '--output', metavar='FILE', help='Write the result here, as JSON.'
    )
    parser.add_argument(
        '--html',
        metavar='FILE',
        help='Write a page with plots here (needs kvm-tuning[bench]).',
    )


def check_outputs(parsed_args: argparse.Namespace) -> None:
    """Check, before anything runs, that files can be written.

    :raises WrongUsage: a directory does not exist or is not writable.
    :raises BenchFailed: what draws the plots is not installed.
    """
    for option, path in (
        ('--output', getattr(parsed_args, 'output', None)),
        ('--html', parsed_args.html),
    ):
        directory = os.path.dirname(os.path.abspath(path)) if path else '/'
        if path and not os.access(directory, os.W_OK | os.X_OK):
            raise WrongUsage(
                f'{option} {path}: {directory} is not a directory that can '
                'be written to'
            )
    if parsed_args.html:
        bench_page.check()


def write(parsed_args: argparse.Namespace, results: Sequence[Result]) -> None:
    """Write the files that were wished for.

    :raises BenchFailed: a file cannot be written.
    """
    texts = {}
    if getattr(parsed_args, 'output', None):
        texts[parsed_args.output] = f'{json.dumps(results[0], indent=2)}\n'
    if parsed_args.html:
        texts[parsed_args.html] = bench_page.page(results)
    for path, text in texts.items():
        try:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        except OSError as error:
            raise BenchFailed(
                f'{path} cannot be written: {error.strerror}'
            ) from error


def read(path: str) -> dict[str, Any]:
    """Return the result in a file, named as the file is.

    :raises WrongUsage: it is not one.
    """
    text = files.text(path, 'result')
    try:
        result = json.loads(text)
        if (
            result['format'] != bench_result.FORMAT
            or result['workload'] != 'memory'
        ):
            raise ValueError
        # What tables and plots are made of is there.
        bench_result.output([result])
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ZeroDivisionError,
        RecursionError,
    ) as error:
        raise WrongUsage(
            f'{path} is not a result of kvm-tuning bench memory '
            f'(format {bench_result.FORMAT})'
        ) from error
    assert isinstance(result, dict)
    result['name'] = os.path.basename(path)
    return result
