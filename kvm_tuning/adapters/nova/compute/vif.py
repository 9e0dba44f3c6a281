"""Nova's VIF driver, for interfaces that are plugged into running guests.

An interface of a guest that starts is tuned with the rest of its XML.
"""

from typing import Any

from nova.virt.libvirt import vif

from kvm_tuning.adapters.nova.compute import hotplug


class VifDriver(vif.LibvirtGenericVIFDriver):
    """As Nova's, with what the flavor requests of an interface."""

    def get_config(
        self,
        instance: Any,
        vif: Any,
        image_meta: Any,
        flavor: Any,
        virt_type: Any,
    ) -> Any:
        """Return the configuration of an interface."""
        conf = super().get_config(instance, vif, image_meta, flavor, virt_type)
        return hotplug.tuned(conf)
