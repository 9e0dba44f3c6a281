"""Runs Nova's own tests with our driver in the place of LibvirtDriver.

    python -m tests.nova.upstream [OPTION...] NAME...

NAME is a module or a package of Nova's tests. Our fit answers every call,
also those of tests that have no driver. With ``--l3`` hosts show L3 domains of
so many CPUs and prefer L3 locality for every guest. ``--own`` runs our own
tests, which install what they need, and only counts. Tests run on eventlet,
as Nova's do when nobody says otherwise; with ``--threads`` on native threads,
as Nova's services do since 34.

The tests are dealt out to workers, processes of their own, which lose nothing
of the rest when one of them hangs or dies. The last lines are what was
skipped or differs, with the reason, how often each of our wrappers was
called, and the totals. The exit status is 0 when nothing failed.
"""

import argparse
import collections
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time

from tests.nova.differences import DIFFERENT

#: Seconds that one test may take: Nova ends it itself after the first, the
#: second is for one that cannot be ended so.
TEST_TIMEOUT, TEST_LIMIT = 1200, 1500
#: Seconds between lines that say how far the run is.
PROGRESS = 60
#: What makes Nova leave the threads as they are.
THREADS = 'OS_NOVA_DISABLE_EVENTLET_PATCHING'


class Worker:
    """What one worker has written so far."""

    def __init__(self, path):
        self.path = path
        self.pid = None
        self.test = None
        self.since = time.monotonic()
        self.calls = {}
        self._read = 0

    def records(self):
        """Yield what the worker has written since the last time."""
        with self.path.open('rb') as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b'\n'):
                    return
                self._read += len(line)
                yield json.loads(line)

    def overdue(self):
        return (
            self.test is not None
            and time.monotonic() - self.since > TEST_LIMIT
        )


class Run:
    """All tests of one command line."""

    def __init__(self, arguments, listed):
        #: Tests that differ, with the reason.
        self.listed = listed
        self.total = None
        self.counts = collections.Counter()
        #: (what, test, why) of tests that did not pass.
        self.told = []
        self.details = []
        self.calls = collections.Counter()
        self._folder = Path(tempfile.mkdtemp(prefix='nova-tests-'))
        self._workers = {}
        self._started = time.monotonic()
        environment = os.environ | {
            'PYTHONUNBUFFERED': '1',
            'TMPDIR': str(self._folder),
        }
        environment.setdefault('OS_TEST_TIMEOUT', str(TEST_TIMEOUT))
        with (self._folder / 'log').open('wb') as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    'tests.nova.upstream_worker',
                    str(self._folder),
                    *arguments,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self):
        """Run to the end.

        :raises SystemExit: the tests cannot be run.
        """
        said = self._started
        try:
            while self._process.poll() is None:
                time.sleep(0.5)
                self._look()
                if time.monotonic() - said > PROGRESS:
                    said = time.monotonic()
                    self._progress()
        finally:
            self._process.kill()
        self._look()
        self._progress()
        if self._process.returncode or self.total is None:
            raise SystemExit(
                f'the tests ended with {self._process.returncode}:\n'
                f'{self._tail()}'
            )
        for worker in self._workers.values():
            self.calls.update(worker.calls)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _look(self):
        for path in sorted(self._folder.glob('records.*')):
            worker = self._workers.setdefault(path.name, Worker(path))
            for record in worker.records():
                self._take(worker, record)
            if worker.overdue():
                os.kill(worker.pid, signal.SIGKILL)
                worker.since = time.monotonic()

    def _take(self, worker, record):
        self.total = record.get('total', self.total)
        worker.pid = record.get('pid', worker.pid)
        worker.calls = record.get('calls', worker.calls)
        if 'start' in record:
            worker.test, worker.since = record['start'], time.monotonic()
        if 'end' in record:
            worker.test = None
            self._count(record['end'], record['status'], record['why'])
        if 'died' in record and worker.test is not None:
            why = f'its process ended with {record["died"]}:\n{self._tail()}'
            self._count(worker.test, 'failed', why)
            worker.test = None

    def _tail(self):
        return (self._folder / 'log').read_text(errors='replace')[-4000:]

    def _count(self, test, status, why):
        reason = self.listed.get(test)
        if reason is not None and status != 'skipped':
            if status == 'failed':
                status, why = 'different', reason
            else:
                status, why = 'failed', 'it is listed as different, and passes'
        self.counts[status] += 1
        if status == 'failed':
            print(f'FAIL: {test}', flush=True)
            self.details.append(f'==== {test}\n{why}\n')
        elif status != 'passed':
            self.told.append((status, test, why))

    def _progress(self):
        print(
            f'   {sum(self.counts.values())} of {self.total or "?"} tests, '
            f'{self.counts["failed"]} failed, '
            f'{time.monotonic() - self._started:.0f} s',
            file=sys.stderr,
            flush=True,
        )

    def say(self):
        """Print the result; return whether nothing failed."""
        for what, test, why in sorted(self.told):
            print(f'{what}: {test}: {why}')
        for label, number in sorted(self.calls.items()):
            print(f'calls: {label} {number}')
        missing = (self.total or 0) - sum(self.counts.values())
        if missing:
            print(f'FAIL: {missing} tests did not run')
            self.counts['failed'] += missing
        counts = self.counts
        print(
            f'{counts["passed"]} passed, {counts["failed"]} failed, '
            f'{counts["skipped"] + counts["different"]} skipped',
            flush=True,
        )
        return bool(self.total) and not counts['failed']


def find_etc():
    """Let Nova's tests find etc/nova: they look beside their package, and
    the wheel puts it into the environment's root.
    """
    beside = Path(sysconfig.get_path('purelib'), 'etc')
    made = Path(sys.prefix, 'etc')
    if (made / 'nova').is_dir() and not beside.exists():
        beside.symlink_to(made)


def main():
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--l3', type=int, default=0, metavar='CPUS')
    parser.add_argument(
        '--filter',
        action='store_true',
        help="our scheduler filter in the place of Nova's",
    )
    parser.add_argument(
        '--only', metavar='FILE', help='run the tests it names, one a line'
    )
    parser.add_argument('--own', action='store_true')
    parser.add_argument('--threads', action='store_true')
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    parser.add_argument('--details', metavar='FILE')
    parser.add_argument('names', nargs='+', metavar='NAME')
    args = parser.parse_args()
    if args.threads:
        os.environ[THREADS] = '1'
    else:
        os.environ.pop(THREADS, None)
    # So that the workers end, too.
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(143))
    find_etc()
    arguments = [f'--l3={args.l3}', f'--workers={args.workers}', *args.names]
    if args.only:
        arguments.append(f'--only={args.only}')
    arguments += ['--filter'] * args.filter + ['--own'] * args.own
    run = Run(arguments, DIFFERENT if args.l3 else {})
    run.wait()
    if args.details:
        Path(args.details).write_text('\n'.join(run.details))
    sys.exit(0 if run.say() else 1)


if __name__ == '__main__':
    main()
