"""What nova-compute answers beside Nova's own methods, on its message bus.

Whoever may send messages on the bus may ask, as for all of Nova's methods.
"""

from typing import Any

import oslo_messaging

from kvm_tuning.core.exceptions import KvmTuningError

NAMESPACE, VERSION = 'kvm_tuning', '1.0'


class Endpoint:
    """The methods, which have the context first, as Nova's."""

    target = oslo_messaging.Target(namespace=NAMESPACE, version=VERSION)

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def rebalance_plan(
        self, context: Any, budget: float | None, least_gain: float
    ) -> dict[str, Any]:
        """Return ``plan``, a document, or ``refused``, the reason why there is
        none; arguments as of ``Rebalance.plan``.
        """
        driver = self._driver
        tracker = driver.virtapi._compute.rt
        (nodename,) = driver.get_available_nodes()
        try:
            found = driver._kvm_tuning_rebalance.plan(
                tracker, driver._kvm_tuning.host, nodename, budget, least_gain
            )
        except KvmTuningError as error:
            return {'refused': str(error)}
        return {'plan': found}


def install(driver: Any) -> None:
    """Have the service of a driver answer: it reads the endpoints when it
    starts, after it has made the driver.
    """
    # Nova's own tests make drivers that belong to no service.
    manager = getattr(driver.virtapi, '_compute', None)
    if manager is not None:
        manager.additional_endpoints.append(Endpoint(driver))
