#!/usr/bin/env python3
"""Times an audit of all guests on a host with many other processes.

usage: tools/bench/audit [GUESTS/PROCESSES ...]

The host is a tree of files: each guest is a recorded one with its own name,
UUID and pCPUs. Without arguments: 10, 100 and 500 guests without other
processes and beside 3,000. CPU seconds are of this process, memory is what
the audit adds to it at its peak. Exit status 1: an audit of 100 guests takes
more than SECONDS or MIB, or 500 take more than LINEAR times as long as 100.
"""

import os
import resource
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from kvm_tuning.adapters import audit
from kvm_tuning.host import configuration
from tests.fixtures.many_guests import ManyGuests

CASES = ('10/0', '100/0', '500/0', '10/3000', '100/3000', '500/3000')
SECONDS, MIB, LINEAR = 1.0, 100.0, 7.5


def measure(guests: int, others: int) -> tuple[float, float, int]:
    """Return CPU seconds, MiB at the peak and findings of one audit."""
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, 'tree'))
        store = ManyGuests(os.path.join(root, 'tree'), guests, others)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            settings = configuration.load(str(store.root))
            start = time.process_time()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found = audit.audit(store, settings, root=str(store.root))
            spent = time.process_time() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            count = sum(len(each.findings) for each in found)
            text = f'{spent} {(peak - before) / 1024} {count}'
            os.write(writer, text.encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as stream:
            words = stream.read().split()
        os.waitpid(child, 0)
    return float(words[0]), float(words[1]), int(words[2])


def main() -> int:
    spent: dict[tuple[int, int], float] = {}
    bad = False
    print(f'{"guests":>7} {"others":>7} {"CPU s":>7} {"MiB":>7} findings')
    for case in sys.argv[1:] or CASES:
        guests, _slash, others = case.partition('/')
        key = int(guests), int(others or 0)
        seconds, mib, count = measure(*key)
        spent[key] = seconds
        print(f'{key[0]:7} {key[1]:7} {seconds:7.2f} {mib:7.1f} {count}')
        if key[0] == 100:
            bad |= seconds > SECONDS or mib > MIB
    for (count, more), seconds in spent.items():
        base = spent.get((100, more))
        if count == 500 and base:
            print(f'500 take {seconds / base:.1f} times as long as 100')
            bad |= seconds > LINEAR * base
    return int(bad)


if __name__ == '__main__':
    sys.exit(main())
