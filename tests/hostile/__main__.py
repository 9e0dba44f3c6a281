"""Give hostile inputs to all that reads any, and count what becomes of them.

usage: python -m tests.hostile [--inputs N | --seconds S] [--seed N]

Each kind of input takes its turn. Prints a table, and for each defect the
kind and the seed that makes it again: ``--only KIND --seed SEED --inputs 1``.
Exit status 1: something else was raised than our own errors, an invariant of
an accepted input did not hold, or an input cost more than SECONDS or MIB.
"""

import argparse
from collections import Counter
import logging
import random
import resource
import sys
import tempfile
import time
import traceback

from kvm_tuning.core.exceptions import HookError, KvmTuningError
from tests.hostile.kinds import kinds

SECONDS, MIB = 2.0, 300.0
OWN, TAKEN, OTHER, OVER = 'own error', 'accepted', 'other', 'over the limit'


def attempt(fuzzer, seed):
    """Return what became of one input, and the seconds that it took."""
    start = time.process_time()
    try:
        found = TAKEN if fuzzer(random.Random(seed)) else OWN
    except HookError:
        found = OTHER
        traceback.print_exc()
    except KvmTuningError:
        found = OWN
    except Exception:
        found = OTHER
        traceback.print_exc()
    return found, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--inputs', type=int, default=200_000)
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--seed', type=int, default=20)
    parser.add_argument('--only')
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        fuzzers = kinds(folder)
        if given.only:
            fuzzers = {given.only: fuzzers[given.only]}
        counts, worst, defects = run(given, fuzzers)
    print(f'{"kind":14}' + ''.join(
        f'{name:>16}' for name in (OWN, TAKEN, OTHER, OVER, 'worst s')
    ))  # fmt: skip
    for name in fuzzers:
        row = [counts[name, what] for what in (OWN, TAKEN, OTHER, OVER)]
        cells = ''.join(f'{count:16}' for count in row)
        print(f'{name:14}{cells}{worst[name]:16.2f}')
    total = sum(n for (_k, what), n in counts.items() if what != OVER)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{total} inputs from seed {given.seed}, {peak:.0f} MiB at the peak')
    for name, seed, what in defects[:50]:
        print(f'{what}: --only {name!r} --seed {seed} --inputs 1')
    return int(bool(defects) or peak > MIB)


def run(given, fuzzers):
    """Return counts by kind and result, the worst seconds, and defects."""
    counts, worst, defects = Counter(), Counter(), []
    end = None if given.seconds is None else time.monotonic() + given.seconds
    number = 0
    while True:
        for name, fuzzer in fuzzers.items():
            if end is None and number >= given.inputs:
                return counts, worst, defects
            if end is not None and time.monotonic() >= end:
                return counts, worst, defects
            seed = given.seed + number
            number += 1
            found, seconds = attempt(fuzzer, seed)
            counts[name, found] += 1
            worst[name] = max(worst[name], seconds)
            if seconds > SECONDS:
                counts[name, OVER] += 1
                defects.append((name, seed, OVER))
            if found == OTHER:
                defects.append((name, seed, OTHER))


if __name__ == '__main__':
    sys.exit(main())
