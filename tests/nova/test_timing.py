"""Our part of a spawn is timed where somebody wants to know."""

import logging

import fixtures

from kvm_tuning.adapters.nova.compute import timing
from tests.nova import base


class TimingTest(base.ServersTest):
    def test_times_are_told(self):
        """Each step of a server's start takes some time."""
        log = self.useFixture(
            fixtures.FakeLogger(timing.__name__, level=logging.DEBUG)
        )
        self.start()
        server = self.boot(hw__cpu_policy='dedicated', kvm__iothreads='2')
        for what in ('placed', 'checked', 'tuned', 'threads placed'):
            self.assertRegex(
                log.output,
                rf'instance {server["id"]}: {what} in [\d.]+ ms',
            )

    def test_nobody_wants_to_know(self):
        """Without DEBUG nothing is written."""
        log = self.useFixture(
            fixtures.FakeLogger(timing.__name__, level=logging.INFO)
        )
        with timing.told('tuned', 'uuid'):
            pass
        self.assertEqual('', log.output)
