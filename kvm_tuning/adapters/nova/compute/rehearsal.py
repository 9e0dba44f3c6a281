"""Check that a guest can be created again before Nova destroys it.

Nova's hard reboot destroys the guest and writes its XML afterwards. If
something has changed since the guest was created, such as the host's
configuration or what works on it, the plan may be refused: it has to be
refused while the guest still exists.
"""

import logging
from typing import Any

import nova.conf
from nova.virt.libvirt import blockinfo

from kvm_tuning.core.exceptions import KvmTuningError

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF


def hard_reboot(
    driver: Any,
    context: Any,
    instance: Any,
    network_info: Any,
    share_info: Any,
    block_device_info: Any = None,
    accel_info: Any = None,
) -> None:
    """Write the XML of a hard reboot, and discard it.

    A failure for a reason other than ours may be exactly what the reboot is to
    repair: it is logged, and left for Nova to find.

    :raises NovaException: caused by a KvmTuningError: the plan is refused.
    """
    try:
        driver._get_guest_xml(
            context,
            instance,
            network_info,
            blockinfo.get_disk_info(
                CONF.libvirt.virt_type,
                instance,
                instance.image_meta,
                block_device_info,
            ),
            instance.image_meta,
            block_device_info=block_device_info,
            accel_info=accel_info,
            share_info=share_info,
        )
    except Exception as error:
        if isinstance(error.__cause__, KvmTuningError):
            raise
        LOG.debug('instance %s: not rehearsed: %s', instance.uuid, error)
