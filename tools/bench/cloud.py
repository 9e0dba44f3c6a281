#!/usr/bin/env python3
"""Time servers of the cloud: our part of a spawn, and ours against stock.

Run it in the cloud: ``python tools/cloud run python tools/bench/cloud.py``.

nova-compute runs with Nova's own driver and with ours in turns, ABBA; each
time a server of one flavor is created and deleted, one after another. Told
are the seconds from create to ACTIVE, as a client sees them, and the CPU time
that nova-compute took for it, with the median and the spread of each, and
what our driver says of its own part. The bar: a median of at most 50 ms.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import re
import statistics
import subprocess
import sys
import time
from typing import Any

import openstack

TOP = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ['KVM_TUNING_CLOUD'])
DROP_IN = FOLDER / 'etc/nova/compute.d/zz-bench.conf'
LOG = FOLDER / 'log/nova-compute.log'

#: Milliseconds that our part of a spawn may take.
BAR = 50
LEVELS = 'amqp=WARN,sqlalchemy=WARN,oslo_messaging=INFO,kvm_tuning=DEBUG'
DRIVERS = {
    'stock': 'libvirt.LibvirtDriver',
    'ours': 'kvm_tuning.KvmTuningDriver',
}
SPECS = {
    'hw:cpu_policy': 'dedicated',
    'kvm:cpu_locality': 'l3',
    'kvm:cpu_locality_policy': 'strict',
    'kvm:iothreads': '1',
    'kvm:disk_iothread_map': 'dedicated',
    'kvm:disk_cache': 'none',
    'kvm:disk_io': 'native',
    'kvm:page_sharing': 'false',
}
_TOLD = re.compile(r'instance (\S+): (.*) in ([\d.]+) ms, ([\d.]+) ms of CPU')


def main() -> int:
    """Return 1 when the bar is not held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--servers', type=int, default=5, help='A turn.')
    parser.add_argument('--bar', type=float, default=BAR, help='In ms.')
    options = parser.parse_args()
    cloud = openstack.connect()
    flavor = cloud.compute.create_flavor(
        name=f'bench-{time.time_ns()}', vcpus=1, ram=64, disk=0
    )
    cloud.compute.create_flavor_extra_specs(flavor, SPECS)
    seconds, cpu = defaultdict(list), defaultdict(list)
    begun = LOG.stat().st_size
    try:
        for driver in ('stock', 'ours', 'ours', 'stock'):
            DROP_IN.write_text(
                f'[DEFAULT]\ncompute_driver = {DRIVERS[driver]}\n'
                f'default_log_levels = {LEVELS}\n'
            )
            harness('restart', 'nova-compute')
            server(cloud, flavor)  # Whose first one is slow
            for _ in range(options.servers):
                took, used = server(cloud, flavor)
                seconds[driver].append(took)
                cpu[driver].append(used)
    finally:
        DROP_IN.unlink()
        harness('restart', 'nova-compute')
        cloud.compute.delete_flavor(flavor)
    tell('create to ACTIVE, s', seconds)
    tell('CPU of nova-compute, s', cpu)
    with open(LOG, errors='replace') as log:
        log.seek(begun)
        median = ours(log.read())
    return 0 if median <= options.bar else 1


def harness(*words: str) -> None:
    """Run ``python tools/cloud``."""
    subprocess.run(
        [sys.executable, str(TOP / 'tools/cloud'), *words],
        check=True,
        capture_output=True,
    )


def server(
    cloud: openstack.connection.Connection, flavor: Any
) -> tuple[float, float]:
    """Create and delete a server; return the seconds to ACTIVE and the CPU
    seconds of nova-compute for both.
    """
    compute = cloud.compute
    used, begun = cpu_time(), time.monotonic()
    made = compute.create_server(
        name='bench',
        image_id=cloud.image.find_image('blank').id,
        flavor_id=flavor.id,
        networks='none',
    )
    try:
        while made.status not in ('ACTIVE', 'ERROR'):
            time.sleep(0.1)
            made = compute.get_server(made.id)
        took = time.monotonic() - begun
        if made.status != 'ACTIVE':
            raise SystemExit(f'{made.status}: {made.fault}')
    finally:
        compute.delete_server(made.id)
        compute.wait_for_delete(made, interval=0.2, wait=120)
    path = f'/allocations/{made.id}'
    while cloud.placement.get(path).json()['allocations']:
        time.sleep(0.2)
    return took, cpu_time() - used


def cpu_time() -> float:
    """Return the CPU seconds of nova-compute so far."""
    pid = (FOLDER / 'run/nova-compute.pid').read_text()
    stat = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf('SC_CLK_TCK')


def tell(what: str, found: Mapping[str, Sequence[float]]) -> None:
    """Print a line for each driver, and the ratio of their medians."""
    for driver, values in found.items():
        print(
            f'{what}, {driver}: median {statistics.median(values):.2f}, '
            f'{min(values):.2f} to {max(values):.2f}, {len(values)} servers'
        )
    ratio = statistics.median(found['ours']) / statistics.median(
        found['stock']
    )
    print(f'{what}: ours/stock {ratio:.2f}')


def ours(log: str) -> float:
    """Print our parts of a spawn; return the median of their sum, in ms."""
    parts: defaultdict[str, defaultdict[str, float]] = defaultdict(
        lambda: defaultdict(float)
    )
    cpu: defaultdict[str, float] = defaultdict(float)
    for uuid, what, clock, used in _TOLD.findall(log):
        parts[what][uuid] += float(clock)
        parts['all'][uuid] += float(clock)
        cpu[uuid] += float(used)
    if not cpu:
        raise SystemExit('the driver has told nothing')
    for what, found in parts.items():
        values = found.values()
        print(
            f'our part, {what}: median {statistics.median(values):.1f} ms, '
            f'{min(values):.1f} to {max(values):.1f}, {len(values)} servers'
        )
    print(
        f'our part, all, CPU: median {statistics.median(cpu.values()):.1f} ms'
    )
    return statistics.median(parts['all'].values())


if __name__ == '__main__':
    sys.exit(main())
