#!/usr/bin/env python3
"""Times the start of kvm-tuning against that of a bare cliff application.

usage: tools/bench/startup.py [ROUNDS]

Whole processes: `kvm-tuning knob list` and `--version` of a cliff application
that has no commands and no code of its own. They take turns, so that both see
the same noise, after one unmeasured round each (byte code, stevedore's cache
of entry points). Prints the medians and their ratio. Exit status 1: ours
takes more than LIMIT times as long.
"""

from collections.abc import Sequence
import os
import statistics
import subprocess
import sys
import time

ROUNDS = 15
LIMIT = 3.0

BARE = """
import sys
from cliff.app import App
from cliff.commandmanager import CommandManager
sys.exit(App('bare', '1.0', CommandManager('bare.cli')).run(['--version']))
"""
OURS = """
import sys
from kvm_tuning.cmd.main import main
sys.exit(main(sys.argv[1:]))
"""


def seconds(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - start


def compare(rounds: int) -> float:
    """Print the medians; return the ratio of ours to the bare one's."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    os.chdir(os.path.abspath(top))
    runs = {
        'bare cliff --version': [sys.executable, '-c', BARE],
        'kvm-tuning --version': [sys.executable, '-c', OURS, '--version'],
        'kvm-tuning knob list': [sys.executable, '-c', OURS, 'knob', 'list'],
    }
    for command in runs.values():
        seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _round in range(rounds):
        for name, command in runs.items():
            taken[name].append(seconds(command))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    for name, median in medians.items():
        print(f'{name:22} {median * 1000:7.1f} ms')
    return medians['kvm-tuning knob list'] / medians['bare cliff --version']


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    ratio = compare(rounds)
    print(f'ratio {ratio:.2f}, at most {LIMIT}')
    return int(ratio > LIMIT)


if __name__ == '__main__':
    sys.exit(main())
