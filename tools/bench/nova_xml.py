#!/usr/bin/env python3
"""Time our part of a spawn's XML against Nova's own to_xml of the guest.

Needs Nova. Prints medians of CPU time and the ratio, taken in turns in one
run. The bar: a ratio of at most 2.
"""

from functools import partial
import logging
import pathlib
import statistics
import sys
import time
from types import SimpleNamespace
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
warnings.simplefilter('ignore')

from nova import objects  # noqa: E402
import nova.conf  # noqa: E402
from nova.virt.libvirt import config  # noqa: E402

from kvm_tuning.adapters.nova import site, tuning  # noqa: E402
from kvm_tuning.core.site import Capabilities, Probe  # noqa: E402
from tests.fixtures.fake_host import FakeHost  # noqa: E402

YES = Probe(True, 'works')
SPECS = {
    'hw:cpu_policy': 'dedicated',
    'kvm:cpu_locality': 'l3',
    'kvm:iothreads': '2',
    'kvm:disk_queues': 'auto',
    'kvm:emulator_cpus': 'housekeeping',
    'kvm:vif_backend': 'vhost',
    'kvm:vif_queues': 'auto',
    'kvm:vif_rx_ring': '1024',
    'kvm:page_sharing': 'false',
}


class Readers:
    """A host with 32 cores."""

    def __init__(self):
        self.seen = FakeHost(cells=2, l3_per_cell=2, cores=8).inventory()

    def inventory(self):
        return self.seen

    def capabilities(self, libvirt, qemu):
        return Capabilities(
            kvm=YES, vhost_net=YES, io_uring=YES, tap_queues=256
        )


def guest(vcpus):
    """Return a guest as Nova's driver makes it."""
    made = config.LibvirtConfigGuest()
    made.virt_type, made.name = 'kvm', 'instance-00000001'
    made.uuid = '7f3b5a2e-0001-4000-8000-000000000001'
    made.memory, made.vcpus, made.iothreads = 8 << 20, vcpus, 1
    made.os_type, made.os_mach_type = 'hvm', 'q35'
    tune = made.cputune = config.LibvirtConfigGuestCPUTune()
    for vcpu in range(vcpus):
        pin = config.LibvirtConfigGuestCPUTuneVCPUPin()
        pin.id, pin.cpuset = vcpu, {vcpu + 2}
        tune.vcpupin.append(pin)
    tune.emulatorpin = config.LibvirtConfigGuestCPUTuneEmulatorPin()
    tune.emulatorpin.cpuset = set(range(2, vcpus + 2))
    for number in range(2):
        disk = config.LibvirtConfigGuestDisk()
        disk.source_type, disk.driver_name = 'file', 'qemu'
        disk.driver_format, disk.driver_cache = 'qcow2', 'none'
        disk.source_path = f'/var/lib/nova/instances/disk{number}'
        disk.target_dev, disk.target_bus = f'vd{"ab"[number]}', 'virtio'
        made.add_device(disk)
        nic = config.LibvirtConfigGuestInterface()
        nic.net_type, nic.model = 'bridge', 'virtio'
        nic.mac_addr = f'fa:16:3e:00:00:0{number}'
        nic.source_dev, nic.target_dev = f'br{number}', f'tap{number}'
        made.add_device(nic)
    for number in range(1, 17):
        port = config.LibvirtConfigGuestPCIeRootPortController()
        port.index = number
        made.add_device(port)
    return made


def timed(call):
    start = time.thread_time()
    call()
    return time.thread_time() - start


def main():
    logging.disable(logging.CRITICAL)
    nova.conf.CONF([], project='nova', default_config_files=[])
    nova.conf.CONF.set_override('cpu_dedicated_set', '2-31', 'compute')
    nova.conf.CONF.set_override('cpu_shared_set', '0-1', 'compute')
    objects.register_all()
    connection = SimpleNamespace(
        getLibVersion=lambda: 11000000, getVersion=lambda: 10000000
    )
    host = site.Host(
        SimpleNamespace(get_connection=lambda: connection), Readers()
    )
    ours = tuning.Tuning(tuning.reader(), host)
    worst = 0.0
    for vcpus in (2, 8, 24):
        made = guest(vcpus)
        xml = made.to_xml()
        instance = SimpleNamespace(
            flavor=objects.Flavor(
                name='f', flavorid='f', vcpus=vcpus, memory_mb=8192,
                extra_specs=dict(SPECS),
            )
        )  # fmt: skip
        image = objects.ImageMeta.from_dict({'properties': {}})
        stock, our = [], []
        for _ in range(300):
            stock.append(timed(made.to_xml))
            our.append(timed(partial(ours.xml, instance, image, xml)))
        mine, theirs = map(statistics.median, (our, stock))
        worst = max(worst, mine / theirs)
        print(
            f'{vcpus:3} vCPUs, {len(xml)} bytes: to_xml {theirs * 1e6:.0f} '
            f'us, ours {mine * 1e6:.0f} us, ratio {mine / theirs:.2f}'
        )
    return 1 if worst > 2 else 0


if __name__ == '__main__':
    sys.exit(main())
