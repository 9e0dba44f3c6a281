"""Which of Nova's internals the adapter relies on; checked when it is loaded.

Nova promises nothing to code outside its tree. So the adapter names each
function that it overrides, wraps or calls, with the parameters that it uses,
and refuses to start where one is missing, instead of doing half its work.
"""

from collections.abc import Sequence
import importlib
import inspect
from typing import Any

from kvm_tuning.core.exceptions import Unsupported

#: Nova's major versions that are tested: 2025.1 to 2026.2.
TESTED = range(31, 35)

_DRIVER = 'nova.virt.libvirt.driver:LibvirtDriver'

#: By place: the parameters that are used, in their order.
RELIED: dict[str, Sequence[str]] = {
    f'{_DRIVER}.__init__': ('self', 'virtapi', 'read_only'),
    f'{_DRIVER}.init_host': ('self', 'host'),
    f'{_DRIVER}._get_guest_xml': ('self', 'context', 'instance'),
    f'{_DRIVER}._get_guest_config': (
        'self', 'instance', 'network_info', 'image_meta',
    ),
    f'{_DRIVER}._create_guest': (
        'self',
        'context',
        'xml',
        'instance',
        'power_on',
        'pause',
        'post_xml_callback',
    ),
    f'{_DRIVER}._hard_reboot': (
        'self', 'context', 'instance', 'network_info', 'share_info',
        'block_device_info', 'accel_info',
    ),
    f'{_DRIVER}._soft_reboot': ('self', 'instance'),
    f'{_DRIVER}._resume_guest_after_snapshot': (
        'self', 'context', 'live_snapshot', 'original_power_state',
        'instance', 'guest',
    ),
    f'{_DRIVER}.rebuild': (
        'self', 'context', 'instance', 'image_meta', 'injected_files',
        'admin_password', 'allocations', 'bdms', 'detach_block_devices',
        'attach_block_devices', 'network_info', 'evacuate',
        'block_device_info', 'preserve_ephemeral', 'accel_uuids',
        'reimage_boot_volume',
    ),
    f'{_DRIVER}._destroy': ('self', 'instance'),
    'nova.virt.libvirt.config:LibvirtConfigGuest.format_dom': ('self',),
    # Some releases have the instance before the rest.
    f'{_DRIVER}._get_volume_config': ('self',),
    f'{_DRIVER}.check_can_live_migrate_source': (
        'self', 'context', 'instance', 'dest_check_data', 'block_device_info',
    ),
    f'{_DRIVER}._live_migration_operation': (
        'self', 'context', 'instance', 'dest', 'block_migration',
        'migrate_data', 'guest', 'device_names',
    ),
    f'{_DRIVER}.attach_interface': (
        'self', 'context', 'instance', 'image_meta', 'vif',
    ),
    f'{_DRIVER}.detach_interface': ('self', 'context', 'instance', 'vif'),
    f'{_DRIVER}.attach_volume': (
        'self', 'context', 'connection_info', 'instance', 'mountpoint',
        'disk_bus', 'device_type', 'encryption',
    ),
    f'{_DRIVER}.detach_volume': (
        'self', 'context', 'connection_info', 'instance', 'mountpoint',
        'encryption',
    ),
    f'{_DRIVER}.swap_volume': (
        'self', 'context', 'old_connection_info', 'new_connection_info',
        'instance', 'mountpoint', 'resize_to',
    ),
    f'{_DRIVER}.post_live_migration_at_destination': (
        'self', 'context', 'instance', 'network_info', 'block_migration',
        'block_device_info',
    ),
    f'{_DRIVER}.update_provider_tree': (
        'self', 'provider_tree', 'nodename', 'allocations',
    ),
    f'{_DRIVER}.get_available_resource': ('self', 'nodename'),
    'nova.virt.libvirt.vif:LibvirtGenericVIFDriver.get_config': (
        'self', 'instance', 'vif', 'image_meta', 'flavor', 'virt_type',
    ),
    'nova.virt.hardware:_pack_instance_onto_cores': (
        'host_cell', 'instance_cell', 'num_cpu_reserved',
    ),
    'nova.virt.hardware:_numa_fit_instance_cell': (
        'host_cell', 'instance_cell', 'limits', 'cpuset_reserved',
    ),
    'nova.virt.hardware:_numa_cells_support_network_metadata': (
        'host_topology', 'chosen_host_cells', 'network_metadata',
    ),
    'nova.virt.hardware:numa_fit_instance_to_host': (
        'host_topology', 'instance_topology', 'provider_mapping', 'limits',
        'pci_requests', 'pci_stats',
    ),
    'nova.compute.claims:Claim._test_numa_topology': (
        'self', 'compute_node', 'limit',
    ),
    'nova.compute.manager:ComputeVirtAPI.__init__': ('self', 'compute'),
    'nova.objects.instance:InstanceList.get_by_host_and_node': (
        'context', 'host', 'node', 'expected_attrs',
    ),
    'nova.objects.migration:MigrationList.get_in_progress_and_error': (
        'context', 'host', 'node',
    ),
    'nova.objects.instance:Instance.get_by_uuid': (
        'context', 'uuid', 'expected_attrs',
    ),
    'nova.objects.instance:Instance.save': (
        'self', 'expected_vm_state', 'expected_task_state',
    ),
    'nova.virt.hardware:numa_usage_from_instance_numa': (
        'host_topology', 'instance_topology', 'free',
    ),
    'nova.compute.resource_tracker:ResourceTracker._update': (
        'self', 'context', 'compute_node',
    ),
    'nova.objects.instance_numa:InstanceNUMATopology.get_by_instance_uuid': (
        'context', 'instance_uuid',
    ),
    'nova.compute.resource_tracker:ResourceTracker._move_claim': (
        'self', 'context', 'instance',
    ),
    'nova.objects.numa:NUMATopology.obj_from_db_obj': ('db_obj',),
    'nova.virt.libvirt.host:Host.get_guest': ('self', 'instance'),
    'nova.compute.resource_tracker:ResourceTracker'
    '._update_usage_from_instances': (
        'self', 'context', 'instances', 'nodename',
    ),
}  # fmt: skip

#: What the scheduler's half relies on.
SCHEDULER: dict[str, Sequence[str]] = {
    **{k: v for k, v in RELIED.items() if k.startswith('nova.virt.hardware')},
    'nova.scheduler.host_manager:HostState._locked_consume_from_request': (
        'self', 'spec_obj',
    ),
    'nova.scheduler.filters.numa_topology_filter:NUMATopologyFilter'
    '.host_passes': ('self', 'host_state', 'spec_obj'),
    'nova.scheduler.filters.numa_topology_filter:NUMATopologyFilter'
    '._satisfies_cpu_policy': (
        'self', 'host_state', 'extra_specs', 'image_props',
    ),
}  # fmt: skip


def check(relied: dict[str, Sequence[str]] | None = None) -> None:
    """Check that Nova has what the adapter relies on.

    :raises Unsupported: it does not; the message names everything that is
        missing.
    """
    missing = [
        text
        for place, wanted in (RELIED if relied is None else relied).items()
        if (text := _missing(place, wanted)) is not None
    ]
    if missing:
        raise Unsupported(
            f'Nova {_version()} is not one that kvm-tuning works with: '
            f'{"; ".join(missing)}. It is tested with Nova {TESTED.start} to '
            f'{TESTED.stop - 1} (2025.1 to 2026.2); use one of those, or set '
            'compute_driver = libvirt.LibvirtDriver'
        )


def tested() -> bool:
    """Return whether this Nova's version is one of those that are tested."""
    return int(_version().partition('.')[0]) in TESTED


def _missing(place: str, wanted: Sequence[str]) -> str | None:
    module, _, path = place.partition(':')
    try:
        found: Any = importlib.import_module(module)
        for name in path.split('.'):
            found = getattr(found, name)
    except (ImportError, AttributeError):
        return f'{place} is missing'
    names = list(inspect.signature(found).parameters)
    if names[: len(wanted)] != list(wanted):
        return (
            f'{place} takes ({", ".join(names)}) and not '
            f'({", ".join(wanted)}, ...)'
        )
    return None


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version('nova')
    except metadata.PackageNotFoundError:
        from nova import version

        return str(version.version_string())
