"""Gives Nova's functional tests the time that a busy machine needs.

They look ten times, half a second apart, whether something has happened, and
give up. Here each look of the same waiting comes later than the one before,
a call takes as long as it takes, and a service that says nothing for a while
is not taken for dead.
"""

import sys
import time

from nova.conf import service
from nova.tests.fixtures import notifications
from nova.tests.functional import integrated_helpers
from oslo_messaging.rpc import client

#: How much longer each sleep of a loop is than the one before, and the
#: longest one in seconds: ten sleeps of half a second become 90 s.
GROWTH, LONGEST = 1.6, 20.0
#: Seconds that a notification may take.
NOTIFICATION = 120.0
#: Defaults of options, in seconds.
DEFAULTS = {'rpc_response_timeout': 900, 'service_down_time': 3600}


class PatientTime:
    """The module ``time`` with a ``sleep`` that gets longer in a loop."""

    def __init__(self):
        self._loop = None
        self._slept = 0.0

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, seconds):
        # A frame is a call: the same one comes back only from its loop.
        loop = id(sys._getframe(1))
        self._slept = (
            min(self._slept * GROWTH, max(seconds, LONGEST))
            if loop == self._loop
            else seconds
        )
        self._loop = loop
        time.sleep(self._slept)


def install():
    """Make Nova's tests patient."""
    integrated_helpers.time = PatientTime()
    for option in (*client._client_opts, *service.service_opts):
        option.default = DEFAULTS.get(option.dest, option.default)
    for cls in (
        notifications.FakeVersionedNotifier,
        notifications.NotificationFixture,
    ):
        waits = cls.wait_for_versioned_notifications
        waits.__defaults__ = (*waits.__defaults__[:-1], NOTIFICATION)
