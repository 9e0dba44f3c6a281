"""The main job on NUMA cells, huge pages, vhost and KVM."""

import os
from pathlib import Path
import re

from kvm_tuning.core import cpuset
from tests.fixtures.thread_affinity import moved
from tests.lab.base import DEDICATED, SHARED, GuestTest, huge_pages

_SPECS = {
    'hw__cpu_policy': 'dedicated',
    'hw__numa_nodes': 2,
    'hw__mem_page_size': 2048,
    'kvm__cpu_locality': 'l3',
    'kvm__cpu_locality_policy': 'strict',
    'kvm__memory_locality': 'strict',
    'kvm__emulator_cpus': 'housekeeping',
    'kvm__vhost_cpus': 'housekeeping',
    'kvm__vif_backend': 'vhost',
    'kvm__vif_queues': 2,
    'kvm__iothreads': 2,
    'kvm__disk_iothread_map': 'spread',
    'kvm__iothread_cpus': 'housekeeping',
    'kvm__disk_cache': 'none',
    'kvm__disk_io': 'native',
    'kvm__page_sharing': 'false',
}


def placed(pid):
    """Return the huge pages of a process, by cell, of each mapping.

    Documentation: proc_pid_numa_maps(5). The page counts are of the mapping's
    own page size.
    """
    found = []
    for line in Path(f'/proc/{pid}/numa_maps').read_text().splitlines():
        if 'kernelpagesize_kB=2048' in line:
            pages = {
                int(cell): int(count)
                for cell, count in re.findall(r' N(\d+)=(\d+)', line)
            }
            found.append((line.split()[1], pages))
    return sorted(found, key=str)


class TwoCellsTest(GuestTest):
    """One start serves several looks: it takes long under emulation."""

    deadline = 420

    def test_from_a_flavor_to_an_audited_guest_and_back(self):
        huge_pages(self, 128)
        guest = self.make()
        before = guest.domain.XMLDesc(2)
        tune = (
            guest.name,
            '--flavor',
            self.flavor(vcpus=4, ram=256, **_SPECS),
        )
        planned = self.guest('plan', *tune[1:], '--domain', guest.name)
        self.assertEqual(before, guest.domain.XMLDesc(2))
        self.assertTrue(self.guest('tune', *tune).document['changed'])
        self.assertFalse(self.guest('tune', *tune).document['changed'])
        self.assertTrue(planned.document)

        self.start(guest)
        self.assertEqual({}, self.audit(guest))
        self._vcpus_are_in_one_l3_domain_a_cell(guest)
        self._memory_is_in_two_cells(guest)
        self._vhost_threads_run_where_they_shall(guest)
        self._queues_are_spread(guest)
        self._a_moved_thread_is_caught(guest)

        self.guest('undo', guest.name)
        self.assertEqual(before, guest.domain.XMLDesc(2))

    def _affinity(self, guest, pattern):
        return {
            name: os.sched_getaffinity(tid)
            for tid, name in self.threads(guest).items()
            if re.fullmatch(pattern, name)
        }

    def _vcpus_are_in_one_l3_domain_a_cell(self, guest):
        pins = self._affinity(guest, r'CPU \d+/KVM')
        self.assertEqual(4, len(pins), pins)
        used = [cpu for cpus in pins.values() for cpu in cpus]
        self.assertEqual(sorted(cpuset.parse(DEDICATED)), sorted(used))
        first = pins['CPU 0/KVM'] | pins['CPU 1/KVM']
        self.assertIn(first, ({2, 3}, {6, 7}))

    def _memory_is_in_two_cells(self, guest):
        # 128 MiB of 2 MiB pages in each cell.
        self.assertEqual(
            [('bind:0', {0: 64}), ('bind:1', {1: 64})],
            placed(self.pid(guest)),
        )

    def _vhost_threads_run_where_they_shall(self, guest):
        found = self._affinity(guest, r'vhost-\d+')
        self.assertTrue(found)
        for cpus in found.values():
            self.assertEqual(cpuset.parse(SHARED), cpus)

    def _queues_are_spread(self, guest):
        # libvirt 11.3 and QEMU 10: the map is in the running guest, too.
        live = guest.domain.XMLDesc()
        self.assertEqual(
            2, len(re.findall(r"<iothread id='1'/?>", live)), live
        )
        (arguments,) = re.findall(
            r'"iothread-vq-mapping":(\[.*?\])',
            Path(f'/proc/{self.pid(guest)}/cmdline').read_text(),
        )[:1]
        self.assertEqual(
            2, arguments.count('iothread1') + arguments.count('iothread2')
        )

    def _a_moved_thread_is_caught(self, guest):
        (thread,) = [
            tid
            for tid, name in self.threads(guest).items()
            if name == 'CPU 3/KVM'
        ]
        with moved(thread, {0}):
            broken = self.audit(guest, status=1)
            self.assertIn("cputune/vcpupin[@vcpu='3']/@cpuset", broken)
        self.assertEqual({}, self.audit(guest))
