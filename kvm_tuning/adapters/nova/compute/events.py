"""Tells in a server's events why this host refused it.

Nova tries the next host then, and after the last one the server's fault says
only that there is none: the reason would be in this host's log alone. Events
are shown by ``openstack server event show``.
"""

import logging
from typing import Any

import nova.conf
from nova.objects import instance_action
from oslo_utils import timeutils

from kvm_tuning.adapters.nova.compute import faults

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

#: The event's name.
NAME = 'kvm_tuning_refused'


def refused(context: Any, instance: Any, why: str) -> None:
    """Write an event. What fails here must not change what happens next.

    The event is made whole: an event that is started and then finishes with
    an error makes the action's message ``Error``, which stays though the next
    host takes the server, and finishes the first event of its name, which is
    that of the host before (``action_event_finish`` in nova.db.main.api).
    """
    now = timeutils.utcnow()
    try:
        instance_action.InstanceActionEvent(
            context,
            event=NAME,
            host=CONF.host,
            start_time=now,
            finish_time=now,
            result='Error',
            details=faults.ELSEWHERE(reason=why).format_message(),
        ).create(instance.uuid, context.request_id)
    except Exception as error:
        LOG.warning('instance %s: no event: %s', instance.uuid, error)
