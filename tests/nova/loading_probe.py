"""Starts nova-compute as far as its driver, and prints where that is from.

Run by :mod:`tests.nova.test_loading` in environments of their own, by path.
What would need a cloud or libvirt is left out.
"""

import json
import os
import sys
from unittest import mock

sys.modules['libvirt'] = mock.MagicMock()

import nova.cmd.compute  # noqa: E402  it patches the threads first
import nova.conductor.api  # noqa: E402
import nova.utils  # noqa: E402
import nova.virt.driver  # noqa: E402

load = nova.virt.driver.load_compute_driver


def loaded(*args, **kwargs):
    driver = load(*args, **kwargs)
    # Nova may have said other things.
    print()
    print(
        json.dumps(
            {
                'driver': type(driver).__name__,
                'ours': sys.modules[type(driver).__module__].__file__,
                'nova': nova.virt.driver.__file__,
                'vif_driver': type(driver.vif_driver).__module__,
            }
        ),
        flush=True,
    )
    os._exit(0)


nova.conductor.api.API.wait_until_ready = lambda *args, **kwargs: None
nova.utils.get_sdk_adapter = mock.MagicMock()
nova.virt.driver.load_compute_driver = loaded
sys.argv[0] = 'nova-compute'
nova.cmd.compute.main()
