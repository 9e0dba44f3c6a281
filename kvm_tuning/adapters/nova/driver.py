"""Nova's libvirt driver with the plans of this package.

No policy is here: the hooks plan what a flavor requests, and the plan is
written into what Nova has made. An instance with no request of ours gets the
very bytes that Nova's own driver would give it.

Public methods keep Nova's exact signatures, and there are no new ones: Nova's
tests hold drivers to that.
"""

from collections.abc import Callable
import copy
import logging
from typing import Any, TypeVar

from nova import exception
import nova.conf
from nova.virt.libvirt import host as libvirt_host

from kvm_tuning.adapters.connection import Connection
from kvm_tuning.adapters.nova import signatures
from kvm_tuning.adapters.nova.compute import (
    claims,
    devices,
    endpoint,
    faults,
    migration,
    overlaps,
    pins,
    rebalance,
    receipts,
    refusals,
    rehearsal,
    threads,
    timing,
    traits,
    tuning,
    vif,
    virtual_functions,
)
from kvm_tuning.adapters.nova.exchange import transaction
from kvm_tuning.adapters.nova.scheduling import stats
from kvm_tuning.conf import rebalance as options
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.host.access.system import System

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

_T = TypeVar('_T')

# Filled once Nova is found to fit: that does not change while we run.
_checked: list[bool] = []


class KvmTuningDriver(devices.DevicesDriver):
    """See the module."""

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        """Refuse to start where Nova or the configuration does not fit."""
        if not _checked:
            signatures.check()
            _checked.append(True)
        options.register(CONF)
        super().__init__(virtapi, read_only)
        self._kvm_tuning = tuning.load(self._host)
        self._kvm_tuning_rebalance = rebalance.Rebalance(self._host)
        self.vif_driver = vif.VifDriver(self._host)
        endpoint.install(self)
        claims.install()
        overlaps.install()
        pins.install()

    def init_host(self, host: Any) -> None:
        """As Nova's; then finish what was interrupted, before anybody reads
        pins, and read the host and its receipts.
        """
        super().init_host(host)
        if not signatures.tested():
            LOG.warning(
                'this version of Nova has everything that kvm-tuning relies '
                'on, but is not one of those that it is tested with'
            )
        self._kvm_tuning.host.refresh()
        if transaction.is_open():
            transaction.recover(
                transaction.Node(
                    Connection(
                        self._host.get_connection(),
                        libvirt_host.libvirt.libvirtError,
                    ),
                    self.virtapi._compute.rt,
                    System(CONF.state_path),
                )
            )
        receipts.reconcile(self._host)

    # XML

    def _get_guest_xml(self, *args: Any, **kwargs: Any) -> str:
        given = dict(zip(('context', 'instance'), args, strict=False))
        given |= kwargs
        with refusals.refusing(given['instance'], faults.of, given['context']):
            xml: str = super()._get_guest_xml(*args, **kwargs)
        return xml

    def _get_guest_config(
        self,
        instance: Any,
        network_info: Any,
        image_meta: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        config = super()._get_guest_config(
            instance, network_info, image_meta, *args, **kwargs
        )
        return self._kvm_tuning.into(config, instance, image_meta)

    def _create_guest(
        self,
        context: Any,
        xml: Any,
        instance: Any,
        power_on: bool = True,
        pause: bool = False,
        post_xml_callback: Callable[[], None] | None = None,
    ) -> Any:
        def defined() -> None:
            # The privileged process reads of libvirt whose the VFs are.
            virtual_functions.before_start(xml)
            if post_xml_callback is not None:
                post_xml_callback()

        with refusals.refusing(instance, faults.of):
            try:
                guest = super()._create_guest(
                    context, xml, instance, power_on, pause, defined
                )
            except KvmTuningError:
                raise
            except Exception:
                virtual_functions.ended(instance.uuid)
                raise
        with timing.told('threads placed', guest.uuid):
            threads.started(guest, xml)
        return guest

    def _hard_reboot(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """As Nova's, on the pins of now; what would be refused is refused
        before it begins.
        """
        pins.refresh(instance)
        if self._kvm_tuning.concerns(instance, after_claim=True):
            rehearsal.hard_reboot(self, context, instance, *args, **kwargs)
        super()._hard_reboot(context, instance, *args, **kwargs)

    def _soft_reboot(self, instance: Any) -> Any:
        """As Nova's; the guest is a new process afterwards."""
        done = super()._soft_reboot(instance)
        if done:
            self._kvm_tuning_replaced(instance)
        return done

    def _resume_guest_after_snapshot(
        self, context: Any, live_snapshot: Any, *args: Any, **kwargs: Any
    ) -> None:
        """As Nova's; a cold snapshot has ended the process before."""
        super()._resume_guest_after_snapshot(
            context, live_snapshot, *args, **kwargs
        )
        if not live_snapshot:
            given = dict(zip(('state', 'instance'), args, strict=False))
            self._kvm_tuning_replaced((given | kwargs)['instance'])

    def rebuild(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        bdms: Any,
        detach_block_devices: Any,
        attach_block_devices: Any,
        network_info: Any = None,
        evacuate: bool = False,
        block_device_info: Any = None,
        preserve_ephemeral: bool = False,
        accel_uuids: Any = None,
        reimage_boot_volume: bool = False,
    ) -> Any:
        """As Nova's; what would be refused is refused while the guest still
        exists. The claim of an evacuation has checked it already.
        """
        if not evacuate:
            with refusals.refusing(instance, refusals.rolled_back, context):
                self._kvm_tuning.check(
                    instance.flavor, image_meta, instance.numa_topology
                )
        return super().rebuild(
            context,
            instance,
            image_meta,
            injected_files,
            admin_password,
            allocations,
            bdms,
            detach_block_devices,
            attach_block_devices,
            network_info=network_info,
            evacuate=evacuate,
            block_device_info=block_device_info,
            preserve_ephemeral=preserve_ephemeral,
            accel_uuids=accel_uuids,
            reimage_boot_volume=reimage_boot_volume,
        )

    def _destroy(self, instance: Any, *args: Any, **kwargs: Any) -> None:
        # Nova frees them afterwards, and puts them to sleep here.
        pins.refresh(instance)
        super()._destroy(instance, *args, **kwargs)
        virtual_functions.ended(instance.uuid)

    # Live migration

    def check_can_live_migrate_source(
        self,
        context: Any,
        instance: Any,
        dest_check_data: Any,
        block_device_info: Any = None,
    ) -> Any:
        """As Nova's; a guest whose VFs have attributes is refused."""
        if self._kvm_tuning.concerns(instance):
            try:
                migration.check(self._host.get_guest(instance))
            except exception.MigrationPreCheckError as error:
                LOG.error('instance %s: %s', instance.uuid, error)
                raise
            except exception.InstanceNotFound:
                LOG.debug('instance %s has no domain here', instance.uuid)
        return super().check_can_live_migrate_source(
            context, instance, dest_check_data, block_device_info
        )

    def _live_migration_operation(
        self,
        context: Any,
        instance: Any,
        dest: Any,
        block_migration: Any,
        migrate_data: Any,
        guest: Any,
        device_names: Any,
    ) -> Any:
        return super()._live_migration_operation(
            context,
            instance,
            dest,
            block_migration,
            migrate_data,
            migration.Source(guest),
            device_names,
        )

    def post_live_migration_at_destination(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_migration: Any = False,
        block_device_info: Any = None,
    ) -> None:
        """As Nova's; then the guest is planned for this host."""
        super().post_live_migration_at_destination(
            context,
            instance,
            network_info,
            block_migration,
            block_device_info,
        )
        receipts.moved(self._kvm_tuning, self._host, instance)

    # Placement and the scheduler

    def update_provider_tree(
        self, provider_tree: Any, nodename: Any, allocations: Any = None
    ) -> None:
        """As Nova's, with our traits."""
        super().update_provider_tree(
            provider_tree, nodename, allocations=allocations
        )
        host = self._kvm_tuning.host
        traits.publish(
            provider_tree,
            nodename,
            traits.of(len(host.domains), host.capabilities, traits.thp_mode()),
        )
        self.provider_tree = copy.deepcopy(provider_tree)

    def get_available_resource(self, nodename: Any) -> Any:
        """As Nova's, with the L3 domains among the stats; now and then the
        host is planned anew.
        """
        data = super().get_available_resource(nodename)
        self._kvm_tuning.host.refresh()
        data.setdefault('stats', {}).update(
            stats.write(
                self._kvm_tuning.host.domains,
                self._kvm_tuning.reader.preferences,
            )
        )
        if CONF.kvm_tuning.rebalance != 'never':
            self._kvm_tuning_rebalance.run(
                self.virtapi._compute.rt, self._kvm_tuning.host, nodename
            )
        return data
