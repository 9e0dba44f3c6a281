"""Tune libvirt's own domain documents in every way, and count what fails.

    python -m tests.corpus [--sample] [--seconds N] [--jobs N] [--resume]

Each document that this libvirt defines, with each flavor: a plan that libvirt
refuses or alters, an undo that does not give the bytes of before, or a death
of libvirt is a failure. Results are kept one document a line, so that a run
that was interrupted goes on with ``--resume``.
"""

import argparse
from collections import Counter
import dataclasses
import functools
import json
import multiprocessing
from multiprocessing import util
import os
import random
import sys
import time
import traceback

from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.core import domain
from kvm_tuning.core.cpuset import parse
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.site import Policy, Site, Storage
from tests.corpus import flavors, inputs, trial
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.scenarios import YES, capabilities

#: So that each sample is the same one.
_SEED = 18
_HOST = FakeHost(
    cells=4, l3_per_cell=2, cores=64, threads=2, memory_gib=1 << 14,
    huge_pages={2048: 1 << 20, 1 << 20: 1 << 10},
)  # fmt: skip


@functools.cache
def _judge():
    """Return this process's judge."""
    judge = Judge(strict=True)
    util.Finalize(judge, judge.close, exitpriority=1)
    return judge


@functools.cache
def _inventory():
    return _HOST.inventory()


def _site(guest, libvirt):
    can = dataclasses.replace(
        capabilities({'libvirt': list(libvirt), 'qemu': [7, 2, 0]}),
        storage={
            disk.source: Storage('file', YES, YES)
            for disk in guest.disks
            if disk.source
        },
    )
    inventory = _inventory()
    shared = parse('0-15')
    policy = Policy(inventory.online - shared, shared)
    return Site(inventory, Ledger(), can, policy)


def one(item):
    """Return the results of one document as a dictionary."""
    name, text, end = item
    result = {'document': name, 'outcomes': {}}
    if time.monotonic() > end:
        return None
    # Without KVM, what is written for it is tried in emulation.
    if not os.access('/dev/kvm', os.W_OK):
        text = text.replace("type='kvm'", "type='qemu'", 1)
        text = text.replace('type="kvm"', 'type="qemu"', 1)
    judge = _judge()
    answer = judge.define(text)
    if answer.xml is None:
        result['input'] = 'died' if answer.died else answer.error
        return result
    # libvirt writes some documents otherwise when it stores them again.
    xml = judge.define(answer.xml).xml or answer.xml
    try:
        guest = domain.read(xml).guest
    except KvmTuningError as error:
        result['unread'] = f'{error.code}: {error}'
        return result
    site = _site(guest, judge.version)
    memory = max(64, guest.memory_kib // 1024)
    for flavor, asked, image in flavors.requests(guest.vcpus, memory):
        if time.monotonic() > end:
            return None
        try:
            outcome = trial.tried(judge, xml, asked, image, site)
        except Exception:  # What the run is for
            outcome = trial.Outcome('traceback', traceback.format_exc())
        result['outcomes'][flavor] = outcome
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--sample',
        action='store_true',
        help='Documents in a random order, always the same one.',
    )
    parser.add_argument(
        '--seconds', type=float, default=float('inf'), help='Stop after these.'
    )
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument(
        '--resume', action='store_true', help='Go on with the last run.'
    )
    parser.add_argument(
        '--only', metavar='TEXT', help='Documents with this in their names.'
    )
    options = parser.parse_args()
    cache = inputs.cache_folder()
    documents = inputs.documents(inputs.fetched(cache))
    names = sorted(n for n in documents if (options.only or '') in n)
    end = time.monotonic() + options.seconds
    if options.sample:
        random.Random(_SEED).shuffle(names)
    path = cache / ('sample.jsonl' if options.sample else 'results.jsonl')
    done = _done(path) if options.resume else {}
    work = [(n, documents[n], end) for n in names if n not in done]
    with (
        path.open('a' if options.resume else 'w') as log,
        multiprocessing.Pool(options.jobs) as pool,
    ):
        for result in pool.imap_unordered(one, work):
            if result is None:
                continue
            log.write(json.dumps(result) + '\n')
            log.flush()
        # Workers end by themselves, and their libvirts with them.
        pool.close()
        pool.join()
    return report(_done(path).values())


def _done(path):
    if not path.exists():
        return {}
    results = map(json.loads, path.read_text().splitlines())
    return {result['document']: result for result in results}


def report(results):
    """Print the totals and the table by kind; return the exit status."""
    kinds = Counter()
    failures = {}
    refusals = Counter()
    inputs_, unread = Counter(), []
    for result in results:
        if 'unread' in result:
            unread.append(f'{result["document"]}: {result["unread"]}')
        state = 'not defined' if 'input' in result else 'defined'
        inputs_[state] += 1
        for flavor, (kind, detail) in result['outcomes'].items():
            kinds[kind] += 1
            if kind in trial.FAILURES:
                where = failures.setdefault(kind, [])
                where.append(f'{result["document"]} {flavor}: {detail}')
            elif kind == trial.REFUSED:
                refusals[detail.partition(':')[0]] += 1
    for kind, where in failures.items():
        print(f'{kind}:')
        for line in where[:20]:
            print(f'  {line}')
    for line in unread:
        print(f'not read: {line}')
    print(
        f'{inputs_["defined"]} documents that this libvirt defines, '
        f'{inputs_["not defined"]} that it does not'
    )
    for kind in (trial.KEPT, trial.REFUSED, *trial.FAILURES):
        print(f'{kinds[kind]:8} {kind}')
    for code, count in refusals.most_common():
        print(f'{count:12} {code}')
    failed = sum(kinds[kind] for kind in trial.FAILURES) + len(unread)
    passed = kinds[trial.KEPT] + kinds[trial.REFUSED]
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not kinds[trial.KEPT] else 0


if __name__ == '__main__':
    sys.exit(main())
