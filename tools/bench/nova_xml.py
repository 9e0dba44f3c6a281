#!/usr/bin/env python3
"""Time our part of a spawn's XML against Nova's own to_xml of the guest.

Needs Nova and its tests. Boots servers on Nova's fixtures with our driver,
keeps the guest that its ``_get_guest_config`` made, and times ``to_xml`` with
and without our part in turns, in one process: medians of CPU time. Ours is
the difference. The bar: a ratio of at most 2.

The parts: ``request`` what flavor and image ask; ``guest`` the facts of what
Nova made; ``site``; ``plan``; ``edit`` makes the effects hold; ``receipt``
writes down what was promised; ``text`` is what more there is to write.
"""

from collections.abc import Callable, Mapping
import copy
from functools import partial
import logging
import pathlib
import statistics
import sys
import time
from typing import Any
import unittest
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Not this directory, whose placement.py hides the service's package.
sys.path[0] = str(ROOT)

import nova.tests.functional  # noqa: E402, F401  its patching comes first

warnings.simplefilter('ignore')

import fixtures  # noqa: E402
from lxml import etree  # noqa: E402
from nova.tests.fixtures import libvirt as fakelibvirt  # noqa: E402

from kvm_tuning.adapters.nova.compute.tuning import Tuning  # noqa: E402
from kvm_tuning.core import domain, guest, plan  # noqa: E402
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


#: Microseconds of each of our steps, by name.
Steps = dict[str, float]
#: What gives a function and its arguments, new ones each time.
Prepare = Callable[[], tuple[Callable[..., object], tuple[Any, ...]]]


class Bench(base.ServersTest):
    """Boots the guests and times them; a test only for Nova's fixtures."""

    results: list[tuple[str, int, int, float, float, Steps]] = []

    def setUp(self) -> None:
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

    def runTest(self) -> None:
        Bench.results = [
            (name, vcpus, *timed(*self.spawned(vcpus, specs)))
            for name, vcpus, specs in GUESTS
        ]

    def spawned(self, vcpus: int, specs: Mapping[str, str]) -> Any:
        """Boot a server; return our Tuning and the arguments of its
        ``into``.
        """
        calls: list[tuple[Any, ...]] = []
        into = Tuning.into

        def note(tuning: Tuning, config: Any, *args: Any) -> Any:
            calls.append((tuning, config, *args))
            # Nova's own stays without our part, and is timed so.
            return into(tuning, copy.copy(config), *args)

        with fixtures.MonkeyPatch(
            'kvm_tuning.adapters.nova.compute.tuning.Tuning.into', note
        ):
            server = self._create_server(
                flavor_id=self._create_flavor(
                    vcpu=vcpus, memory_mb=8192, extra_spec=dict(specs)
                ),
                networks=[{'port': self.neutron.port_1['id']}],
            )
        self._delete_server(server)
        return calls[0]


def timed(
    tuning: Any, config: Any, instance: Any, image: Any
) -> tuple[int, float, float, Steps]:
    """Return the XML's size, and microseconds of Nova's to_xml, of our part,
    and of our steps by name.
    """
    size = len(config.to_xml())

    def both(config: Any) -> None:
        tuning.into(config, instance, image).to_xml()

    found = medians({
        'stock': lambda: (config.to_xml, ()),
        'both': lambda: (both, (copy.copy(config),)),
    })  # fmt: skip
    stock, ours = found['stock'], found['both'] - found['stock']
    steps: Steps = {}
    if not tuning.concerns(instance):
        into = tuning.into
        ours = medians({'into': lambda: (into, (config, instance, image))})[
            'into'
        ]
    else:
        steps = medians(steps_of(tuning, config, instance, image))
        bare, more = steps.pop('bare'), steps.pop('text')
        steps['text'] = more - bare
    return size, stock, ours, steps


def steps_of(
    tuning: Any, config: Any, instance: Any, image: Any
) -> dict[str, Prepare]:
    """Return our steps, each with what the one before it gives."""
    reader = tuning.reader
    asked = reader.read(instance.flavor, image)
    found = guest.read(config.format_dom())
    site = tuning.host.site(asked.request, found)
    made = plan.of(asked, found, site)
    text = partial(etree.tostring, encoding='unicode', pretty_print=True)

    def applied() -> tuple[Any, Any]:
        root = config.format_dom()
        return root, domain.apply(root, made)

    def receipted() -> Any:
        root = config.format_dom()
        domain.tune_tree(root, made)
        return root

    def add(root: Any, promises: Any) -> None:
        domain.add_receipt(root, made, promises)

    return {
        'request': lambda: (reader.read, (instance.flavor, image)),
        'guest': lambda: (guest.read, (config.format_dom(),)),
        'site': lambda: (tuning.host.site, (asked.request, found)),
        'plan': lambda: (plan.of, (asked, found, site)),
        'edit': lambda: (domain.apply, (config.format_dom(), made)),
        'receipt': lambda: (add, applied()),
        'bare': lambda: (text, (config.format_dom(),)),
        'text': lambda: (text, (receipted(),)),
    }


def medians(steps: Mapping[str, Prepare]) -> Steps:
    """Return the median CPU time of each step, in microseconds.

    :param steps: what gives a function and its arguments, new ones each
        time.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, prepare in steps.items():
            call, args = prepare()
            start = time.thread_time()
            call(*args)
            times[name].append(time.thread_time() - start)
    return {n: statistics.median(found) * 1e6 for n, found in times.items()}


def main() -> int:
    logging.disable(logging.CRITICAL)
    result = unittest.TestResult()
    Bench().run(result)
    for _case, text in result.errors + result.failures:
        print(text[-3000:], file=sys.stderr)
    worst = 0.0
    for name, vcpus, size, stock, ours, steps in Bench.results:
        worst = max(worst, ours / stock)
        print(
            f'{name}, {vcpus} vCPUs, {size} bytes: to_xml {stock:.0f} us, '
            f'ours {ours:.0f} us = {ours / 1000:.2f} ms, ratio '
            f'{ours / stock:.2f}'
        )
        if steps:
            print('   ', ', '.join(f'{n} {t:.0f}' for n, t in steps.items()))
    return 1 if worst > 2 or not Bench.results else 0


if __name__ == '__main__':
    sys.exit(main())
