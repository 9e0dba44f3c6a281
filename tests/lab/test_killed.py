"""SIGKILL at random moments of an apply, on a real kernel.

Each write in turn is tried on a tree, by tests/unit/host/prep/test_killed.py.
"""

import contextlib
import os
from pathlib import Path
import random
import signal
import sys
import time

from kvm_tuning.host.prep import journal
from tests.fixtures.command import Command
from tests.lab.host_prep import HostPrepTest, attributes, files

TIMES = 20
#: A setting of each kind of write that takes no long time here.
_CONFIG = """
[sriov]
vfs = 0000:41:00.0=2
drivers_autoprobe = false
[block_scheduler]
disk = sda=bfq
[transparent_huge_pages]
enabled = madvise
[ksm]
merge_across_nodes = false
[huge_pages]
pages = node:1,size:2048,count:48
[kvm_modules]
vhost_net = true
halt_poll_ns = 100000
"""
_KNOWN = {'as wanted', 'differs', 'interrupted', 'waits'}


class KilledTest(HostPrepTest):
    deadline = 900

    def test_at_random_moments(self):
        seed = random.SystemRandom().randrange(1 << 32)
        print(f'killed: seed {seed}', file=sys.stderr, flush=True)
        chance = random.Random(seed)
        self.configure(_CONFIG)
        # Once for the modules of schedulers that are loaded now and stay.
        self.applied()
        self.undone()
        before = files(), attributes()
        seconds = self._apply_in_a_child(None)
        applied = files(), attributes()
        self.undone()
        self.assert_same(before[0], files())

        interrupted = 0
        for number in range(TIMES):
            self._apply_in_a_child(chance.uniform(0, seconds))
            found = self._explained()
            interrupted += 'interrupted' in found.values()
            if number % 2:
                self._until_free('apply')
                self.assertEqual({}, self.states())
                self.assert_same(applied[1], attributes())
                self.assert_same(_without_journal(applied[0]),
                                 _without_journal(files()))  # fmt: skip
            self._until_free('undo')
            self.assert_same(before[0], files())
            self.assert_same(before[1], attributes())
        print(
            f'killed: {TIMES} times within {seconds:.1f} s, {interrupted} of '
            f'them in a write',
            file=sys.stderr, flush=True,
        )  # fmt: skip

    def _apply_in_a_child(self, kill_after):
        """Apply in a process of its own, killed after so many seconds; None:
        not killed. Return how long it has taken.
        """
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            status = 99
            with contextlib.suppress(BaseException):
                status = (
                    Command()
                    .run('--config-file', self.config, 'host', 'apply')
                    .status
                )
            os._exit(status)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.assertIn(status, (0,) if kill_after is None else (0, -9))
        return time.monotonic() - begun

    def _explained(self):
        """Assert that status is right; return the states of the settings."""
        done = self.tool(
            '--config-file', self.config, 'host', 'status', '-f', 'json',
            status=None,
        )  # fmt: skip
        self.assertIn(done.status, (0, 1), done)
        self.assertNotIn('InternalError', done.stderr)
        rows = {row['setting']: row for row in done.document}
        states = {name: row['state'] for name, row in rows.items()}
        self.assertEqual(set(), set(states.values()) - _KNOWN, states)
        for row in rows.values():
            # Of what is kept in files both say where.
            if row['state'] == 'as wanted' and row['persisted'] is None:
                self.assertEqual(row['wanted'], row['running'], row)
        record = Path('/', journal.PATH)
        if record.exists():
            self.assertEqual('0o600', oct(record.stat().st_mode & 0o777))
        return states

    def _until_free(self, verb):
        """Run a command, again while the killed one's last write goes on."""
        for _ in range(60):
            done = self.tool(
                '--config-file', self.config, 'host', verb, '-f', 'json',
                status=None,
            )  # fmt: skip
            if 'JournalFailed: another' not in done.stderr:
                break
            time.sleep(0.5)
        self.assertEqual(0, done.status, done)
        self.assertEqual([], done.document['failed'])


def _without_journal(found):
    return {
        name: about
        for name, about in found.items()
        if name != f'/{journal.PATH}'
    }
