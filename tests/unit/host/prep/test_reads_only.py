"""plan, status and ready change nothing."""

import json
import os
import subprocess
import sys

import fixtures
import testtools
from testtools.matchers import Equals

from tests.fixtures import killed, prepared, reads_only, whole_host

_COMMANDS = ('plan', 'status', 'ready')


class TestReadsOnly(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = whole_host.build(self.root)

    def run_all(self):
        """Return the statuses of the commands, and what of them wrote."""
        commands = [['host', c, '--root', self.root] for c in _COMMANDS]
        # stevedore keeps a user's cache of entry points.
        cache = self.useFixture(fixtures.TempDir()).path
        done = subprocess.run(
            [sys.executable, reads_only.__file__, json.dumps(commands)],
            env={
                **os.environ,
                'PYTHONDONTWRITEBYTECODE': '1',
                'PYTHONPATH': os.getcwd(),
                'XDG_CACHE_HOME': cache,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
        statuses, wrote = json.loads(done.stderr.splitlines()[-1])
        return statuses, [act for act in wrote if cache not in act]

    def see(self, statuses):
        before = prepared.snapshot(self.root)
        found, wrote = self.run_all()
        self.assertThat((found, wrote), Equals((statuses, [])))
        after = prepared.snapshot(self.root)
        self.assertThat(prepared.differences(after, before), Equals({}))

    def test_before_and_after_an_apply(self):
        self.see([0, 1, 1])
        items = whole_host.items(self.root)
        done = prepared.apply(self.kernel, items, whole_host.terms(self.root))
        self.assertThat(done.failed, Equals([]))
        self.see([0, 1, 1])
