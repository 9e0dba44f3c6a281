"""nova-compute, whose imports are done before it is to start.

Under emulation they take most of its start. It has one thread and no
connection while it waits, so that it can be part of a saved state; all of its
configuration is read afterwards.
"""

import importlib
from pathlib import Path
import random
import sys
import time

begun = time.monotonic()
# The configuration is not there yet.
arguments = sys.argv[1:]
del sys.argv[1:]
# First: it decides how the process runs threads.
from nova.cmd import compute  # noqa: E402, I001
from nova import objects  # noqa: E402
from stevedore import _cache  # noqa: E402

READY, GO = Path('/run/nova-ahead.ready'), Path('/run/nova-ahead.go')

#: What a nova-compute that has booted servers has imported, and not yet now.
MODULES = (
    'nova.compute.manager', 'nova.virt.libvirt.driver',
    'nova.compute.monitors.cpu.virt_driver', 'nova.network.neutron',
    'nova.servicegroup.drivers.db', 'nova.virt.libvirt.volume.volume',
    'nova.virt.libvirt.volume.nfs', 'nova.virt.disk.vfs.guestfs',
    'oslo_messaging._drivers.impl_rabbit', 'kombu.transport.pyamqp',
    'keystoneauth1.loading._plugins.identity.generic',
    'keystoneauth1.identity.v3', 'glanceclient.v2.client',
    'neutronclient.v2_0.client', 'cinderclient.client',
    'openstack.connection', 'oslo_privsep.daemon', 'oslo_privsep.comm',
    'os_brick.initiator.connectors.fibre_channel',
    'os_brick.initiator.connectors.iscsi',
    'os_brick.initiator.connectors.nvmeof',
    'os_brick.initiator.connectors.remotefs', 'os_brick.encryptors.luks',
    'os_vif', 'vif_plug_ovs.ovs', 'vif_plug_noop.noop', 'pyroute2',
    'castellan.key_manager.barbican_key_manager', 'castellan.options',
    'libvirt', 'lxml.etree', 'yaml', 'cliff.app', 'multiprocessing.util',
    'dogpile.cache.backends.null', 'oslo_reports.guru_meditation_report',
    'jsonschema', 'zoneinfo', 'sqlite3', 'encodings.idna',
)  # fmt: skip


def main():
    """Wait for the word, then be nova-compute."""
    objects.register_all()
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f'ahead: {error}', flush=True)
    seconds = time.monotonic() - begun
    count = len(sys.modules)
    print(f'ahead: {count} modules in {seconds:.1f} s', flush=True)
    READY.touch()
    while not GO.exists():
        time.sleep(0.1)
    # Seeded when it was imported: the same in all nodes of one saved state.
    random.seed()
    # What was installed meanwhile is found, entry points too.
    importlib.invalidate_caches()
    _cache._c._internal.clear()
    sys.argv[:] = ['/opt/nova/bin/nova-compute', *arguments]
    return compute.main()


if __name__ == '__main__':
    sys.exit(main())
