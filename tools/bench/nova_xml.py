#!/usr/bin/env python3
"""Time our part of a spawn's XML against Nova's own to_xml of the guest.

Needs Nova and its tests. Boots servers on Nova's fixtures with our driver,
keeps what its ``_get_guest_xml`` was given, and times both in turns, in one
process: medians of CPU time. The bar: a ratio of at most 2.

The parts: ``request`` what flavor and image ask; ``parse`` Nova's XML;
``guest`` the facts in it; ``site``; ``plan``; ``edit`` with the receipt's
promises; ``receipt`` its element; ``text`` the XML again.
"""

from functools import partial
import logging
import pathlib
import statistics
import sys
import time
import unittest
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Not this directory, whose placement.py hides the service's package.
sys.path[0] = str(ROOT)

import nova.tests.functional  # noqa: E402, F401  its patching comes first

warnings.simplefilter('ignore')

import fixtures  # noqa: E402
from nova.tests.fixtures import libvirt as fakelibvirt  # noqa: E402
from nova.virt.libvirt import config  # noqa: E402

from kvm_tuning.adapters.nova.tuning import Tuning  # noqa: E402
from kvm_tuning.core import domain, plan, receipt  # noqa: E402
from tests.fixtures.fake_host import FakeHost  # noqa: E402
from tests.nova import base  # noqa: E402

ROUNDS = 300
HOST = FakeHost(cells=2, l3_per_cell=4, cores=8, threads=1)
CPUS = 64
GIB = 1 << 20  # in KiB

PINNED = {'hw:cpu_policy': 'dedicated', 'hw:mem_page_size': '2MB'}
TUNED = {
    **PINNED,
    'kvm:cpu_locality': 'l3',
    'kvm:emulator_cpus': 'housekeeping',
    'kvm:iothreads': '2',
    'kvm:disk_cache': 'none',
    'kvm:disk_queues': 'auto',
    'kvm:vif_backend': 'vhost',
    'kvm:vif_queues': 'auto',
    'kvm:vif_rx_ring': '1024',
    'kvm:page_sharing': 'false',
}
GUESTS = (
    ('no key of ours', 8, PINNED),
    ('tuned', 2, TUNED),
    ('tuned', 8, TUNED),
    ('tuned', 24, TUNED),
)


class Bench(base.ServersTest):
    """Boots the guests and times them; a test only for Nova's fixtures."""

    results = ()

    def setUp(self):
        super().setUp()
        self.readers.host = HOST
        self.flags(cpu_dedicated_set='2-63', group='compute')
        self.flags(cores=-1, group='quota')
        self.flags(num_pcie_ports=16, group='libvirt')
        self.flags(cpu_mode='host-passthrough', group='libvirt')
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.host.Host.get_online_cpus',
                lambda host: set(range(CPUS)),
            )
        )
        pages = fakelibvirt.create_mempages([
            (4, 4 * GIB // 4), (2048, 28 * GIB // 2048),
        ])  # fmt: skip
        host = fakelibvirt.HostInfo(
            cpu_nodes=2,
            cpu_sockets=1,
            cpu_cores=CPUS // 2,
            cpu_threads=1,
            kB_mem=64 * GIB,
            mempages=[pages, pages],
        )
        self.start_compute(
            connection=fakelibvirt.Connection(
                'qemu:///system',
                version=fakelibvirt.FAKE_LIBVIRT_VERSION,
                hv_version=fakelibvirt.FAKE_QEMU_VERSION,
                host_info=host,
                hostname='compute1',
            )
        )

    def runTest(self):
        Bench.results = [
            (name, vcpus, *timed(*self.spawned(vcpus, specs)))
            for name, vcpus, specs in GUESTS
        ]

    def spawned(self, vcpus, specs):
        """Boot a server; return Nova's guest, our Tuning and its arguments."""
        guests, calls = [], []
        to_xml, ours = config.LibvirtConfigGuest.to_xml, Tuning.xml

        def note_guest(made, *args, **kwargs):
            guests.append(made)
            return to_xml(made, *args, **kwargs)

        def note_call(tuning, *args):
            calls.append((tuning, *args))
            return ours(tuning, *args)

        with (
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.config.LibvirtConfigGuest.to_xml',
                note_guest,
            ),
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.tuning.Tuning.xml', note_call
            ),
        ):
            server = self._create_server(
                flavor_id=self._create_flavor(
                    vcpu=vcpus, memory_mb=8192, extra_spec=dict(specs)
                ),
                networks=[{'port': self.neutron.port_1['id']}],
            )
        self._delete_server(server)
        return guests[0], calls[0]


def timed(guest, call):
    """Return the XML's size, and microseconds of to_xml, of our part, and of
    our parts by name.
    """
    tuning, instance, image, xml = call
    whole = {'to_xml': guest.to_xml}
    whole['ours'] = partial(tuning.xml, instance, image, xml)
    measured = medians(whole)
    parts = {}
    if tuning.asked(instance):
        parts = medians(parts_of(tuning, instance, image, xml))
    return len(xml), measured['to_xml'], measured['ours'], parts


def parts_of(tuning, instance, image, xml):
    """Return our steps, each with what the one before it gave."""
    reader = tuning.reader
    asked = reader.read(instance.flavor, image)
    found = domain.read(xml)
    site = tuning.host.site(asked, found.guest)
    make = partial(plan.make, reader.hooks, asked, found.guest, site, True)
    made = make()
    root, promises = domain.edited(found, made)
    return {
        'request': partial(reader.read, instance.flavor, image),
        'parse': partial(domain.read, xml),
        'guest': lambda: domain.Domain(xml, found.root, None).guest,
        'site': partial(tuning.host.site, asked, found.guest),
        'plan': make,
        'edit': partial(domain.edited, found, made),
        'receipt': partial(
            receipt.write, domain.receipt_of(made, promises, False)
        ),
        'text': partial(domain._serialise, root, xml),
    }


def medians(calls):
    """Return the median CPU time of each call, in microseconds."""
    times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            times[name].append(time.thread_time() - start)
    return {n: statistics.median(found) * 1e6 for n, found in times.items()}


def main():
    logging.disable(logging.CRITICAL)
    result = unittest.TestResult()
    Bench().run(result)
    for _case, text in result.errors + result.failures:
        print(text[-3000:], file=sys.stderr)
    worst = 0.0
    for name, vcpus, size, stock, ours, parts in Bench.results:
        worst = max(worst, ours / stock)
        print(
            f'{name}, {vcpus} vCPUs, {size} bytes: to_xml {stock:.0f} us, '
            f'ours {ours:.0f} us = {ours / 1000:.2f} ms, ratio '
            f'{ours / stock:.2f}'
        )
        if parts:
            print('   ', ', '.join(f'{n} {t:.0f}' for n, t in parts.items()))
    return 1 if worst > 2 or not Bench.results else 0


if __name__ == '__main__':
    sys.exit(main())
