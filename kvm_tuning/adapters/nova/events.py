"""Tells in a server's events why this host refused it.

Nova tries the next host then, and after the last one the server's fault says
only that there is none: the reason would be in this host's log alone. Events
are shown by ``openstack server event show``.
"""

import logging
from typing import Any

from nova.compute import utils
import nova.conf

from kvm_tuning.adapters.nova import faults

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

#: The event's name.
NAME = 'kvm_tuning_refused'


def refused(context: Any, instance: Any, why: str) -> None:
    """Write an event. What fails here must not change what happens next."""
    try:
        with utils.EventReporter(context, NAME, CONF.host, instance.uuid):
            raise faults.ELSEWHERE(reason=why)
    except faults.ELSEWHERE:
        return
    except Exception as error:
        LOG.warning('instance %s: no event: %s', instance.uuid, error)
