"""Tune the devices that are plugged into a running instance.

Methods of Nova's driver keep its exact signatures.
"""

from collections.abc import Callable
import contextlib
from typing import Any, TypeVar

from nova import exception
from nova.virt.libvirt import driver

from kvm_tuning.adapters.nova.compute import (
    faults,
    hotplug,
    receipts,
    refusals,
    tuning,
)
from kvm_tuning.core.exceptions import KvmTuningError

_T = TypeVar('_T')


class DevicesDriver(driver.LibvirtDriver):
    """Nova's driver, with the devices that it plugs tuned."""

    _kvm_tuning: tuning.Tuning

    def _get_volume_config(self, *args: Any, **kwargs: Any) -> Any:
        return hotplug.tuned(super()._get_volume_config(*args, **kwargs))

    def attach_interface(
        self, context: Any, instance: Any, image_meta: Any, vif: Any
    ) -> None:
        """As Nova's, with what the flavor requests of an interface."""

        def undo() -> None:
            self.vif_driver.unplug(instance, vif)

        self._kvm_tuning_plug(
            instance,
            image_meta,
            lambda: super(DevicesDriver, self).attach_interface(
                context, instance, image_meta, vif
            ),
            undo,
            lambda _why: exception.InterfaceAttachFailed(
                instance_uuid=instance.uuid
            ),
        )

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        """As Nova's; the receipt forgets the interface."""
        super().detach_interface(context, instance, vif)
        self._kvm_tuning_record(instance)

    def attach_volume(
        self,
        context: Any,
        connection_info: Any,
        instance: Any,
        mountpoint: Any,
        disk_bus: Any = None,
        device_type: Any = None,
        encryption: Any = None,
    ) -> None:
        """As Nova's, with what the flavor requests of a disk."""

        def undo() -> None:
            self._disconnect_volume(
                context, connection_info, instance, encryption=encryption
            )

        self._kvm_tuning_plug(
            instance,
            None,
            lambda: super(DevicesDriver, self).attach_volume(
                context,
                connection_info,
                instance,
                mountpoint,
                disk_bus=disk_bus,
                device_type=device_type,
                encryption=encryption,
            ),
            undo,
            lambda why: exception.VolumeAttachFailed(
                volume_id=connection_info.get('serial'), reason=why
            ),
        )

    def swap_volume(
        self,
        context: Any,
        old_connection_info: Any,
        new_connection_info: Any,
        instance: Any,
        mountpoint: Any,
        resize_to: Any,
    ) -> None:
        """As Nova's, with what the flavor requests of a disk."""

        def undo() -> None:
            self._disconnect_volume(context, new_connection_info, instance)

        self._kvm_tuning_plug(
            instance,
            None,
            lambda: super(DevicesDriver, self).swap_volume(
                context,
                old_connection_info,
                new_connection_info,
                instance,
                mountpoint,
                resize_to,
            ),
            undo,
            lambda why: exception.VolumeRebaseFailed(reason=why),
        )

    def detach_volume(
        self,
        context: Any,
        connection_info: Any,
        instance: Any,
        mountpoint: Any,
        encryption: Any = None,
    ) -> None:
        """As Nova's; the receipt forgets the disk."""
        super().detach_volume(
            context, connection_info, instance, mountpoint, encryption
        )
        self._kvm_tuning_record(instance)

    def _kvm_tuning_plug(
        self,
        instance: Any,
        image_meta: Any,
        plug: Callable[[], _T],
        undo: Callable[[], object],
        failed: Callable[[str], Exception],
    ) -> _T:
        """Call ``plug`` so that the device it creates is tuned.

        :param image_meta: None: the instance's own.
        :param undo: undoes what Nova did before it created the device.
        :param failed: converts to Nova's exception when a request for the
            device cannot be kept.
        """
        if not self._kvm_tuning.concerns(instance, after_claim=True):
            return plug()
        guest = self._host.get_guest(instance)
        where = hotplug.Plug(
            self._kvm_tuning,
            instance,
            image_meta or instance.image_meta,
            guest.get_xml_desc(),
            bool(guest._domain.isActive()),
        )

        def undone(error: KvmTuningError) -> Exception:
            with contextlib.suppress(Exception):
                undo()
            return failed(faults.shown(error))

        with refusals.refusing(instance, undone), hotplug.into(where):
            done = plug()
        self._kvm_tuning_record(instance)
        return done

    def _kvm_tuning_replaced(self, instance: Any) -> None:
        if self._kvm_tuning.concerns(instance, after_claim=True):
            receipts.replaced(self._host, instance)

    def _kvm_tuning_record(self, instance: Any) -> None:
        if self._kvm_tuning.concerns(instance, after_claim=True):
            receipts.record(self._kvm_tuning, self._host, instance)
