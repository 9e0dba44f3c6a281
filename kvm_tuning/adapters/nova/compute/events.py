"""Record in a server's events why this host refused it.

Nova then tries the next host, and after the last one the server's fault says
only that no host is left: the reason would be only in this host's log.
``openstack server event show`` shows events.
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
    """Write an event. A failure here must not change what happens next.

    The event is written complete: an event that is started and then finishes
    with an error makes the action's message ``Error``, which stays even if the
    next host takes the server, and finishes the first event of its name, which
    is that of the previous host (``action_event_finish`` in nova.db.main.api).
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
