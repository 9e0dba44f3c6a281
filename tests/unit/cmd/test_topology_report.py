"""A host's topology for people and for programs."""

import json

import testtools
from testtools.matchers import Equals, HasLength

from kvm_tuning.cmd import topology_report
from tests.fixtures.fake_host import FakeHost


class TestSummary(testtools.TestCase):
    def test_keys_of_one_small_host(self):
        host = FakeHost(
            cells=2,
            l3_per_cell=1,
            cores=1,
            huge_pages={2048: 8},
            used_pages={(8, 2048): 3},
            memory_gib=1,
            cell_ids=(0, 8),
        )
        gib = 1 << 30
        free = gib - 16 * 1024 * 1024
        self.assertThat(
            topology_report.summary(host.inventory()),
            Equals(
                {
                    'cpus': [0, 1, 2, 3],
                    'packages': [[0, 2], [1, 3]],
                    'cores': [[0, 2], [1, 3]],
                    'l3': [[0, 2], [1, 3]],
                    'numa': {
                        '0': {'cpus': [0, 2], 'memory_bytes': gib},
                        '8': {'cpus': [1, 3], 'memory_bytes': gib},
                    },
                    'smt': True,
                    'memory_bytes': 2 * gib,
                    'page_size_kib': 4,
                    'processors': [
                        {
                            'processor': cpu,
                            'core': 0,
                            'socket': cell,
                            'l3': cell,
                            'cell': 8 * cell,
                        }
                        for cpu, cell in ((0, 0), (1, 1), (2, 0), (3, 1))
                    ],
                    'capacities': {},
                    'free_memory_bytes': {'0': free, '8': free},
                    'pages': {
                        '0': [{'size_kib': 2048, 'total': 8, 'free': 8}],
                        '8': [{'size_kib': 2048, 'total': 8, 'free': 5}],
                    },
                    'distances': {
                        '0': {'0': 10, '8': 21},
                        '8': {'0': 21, '8': 10},
                    },
                }
            ),
        )

    def test_is_json(self):
        host = FakeHost(cells=0, l3_per_cell=0, small_cores=1)
        found = topology_report.summary(host.inventory())
        self.assertThat(json.loads(json.dumps(found)), Equals(found))
        self.assertThat(found['l3'], Equals([]))
        self.assertThat(found['distances'], Equals({'0': {}}))
        self.assertThat(found['capacities']['4'], Equals(512))


class TestTable(testtools.TestCase):
    def test_rows_name_as_the_kernel_does(self):
        host = FakeHost(cells=2, l3_per_cell=2, cores=1, threads=1)
        self.assertThat(
            topology_report.rows(host.inventory()),
            Equals(
                [
                    (0, 0, 0, 0, 0),
                    (1, 1, 0, 1, 0),
                    (2, 0, 1, 2, 1),
                    (3, 1, 1, 3, 1),
                ]
            ),
        )
        self.assertThat(topology_report.COLUMNS, HasLength(5))

    def test_rows_without_l3(self):
        host = FakeHost(cells=1, l3_per_cell=0, cores=1, threads=1)
        self.assertThat(
            topology_report.rows(host.inventory()),
            Equals([(0, 0, 0, None, 0)]),
        )

    def test_sockets(self):
        host = FakeHost(cells=2, l3_per_cell=1, cores=2, offline=(3,))
        self.assertThat(
            topology_report.sockets(host.inventory()),
            Equals([(0, '0-1,4-5'), (1, '2,6-7')]),
        )


class TestDescribe(testtools.TestCase):
    def test_smt_on(self):
        host = FakeHost(memory_gib=16)
        self.assertThat(
            topology_report.describe(host.inventory()),
            Equals(
                '32 CPUs, 2 sockets, 16 cores, 4 L3 domains, 2 NUMA cells, '
                '32.0 GiB of memory, SMT on'
            ),
        )

    def test_smt_off(self):
        host = FakeHost(
            cells=0, l3_per_cell=0, cores=1, threads=1, memory_gib=1
        )
        self.assertThat(
            topology_report.describe(host.inventory()),
            Equals(
                '1 CPU, 1 socket, 1 core, 0 L3 domains, 1 NUMA cell, '
                '1.0 GiB of memory, SMT off'
            ),
        )

    def test_hybrid(self):
        host = FakeHost(cells=1, l3_per_cell=1, small_cores=4)
        self.assertThat(
            topology_report.describe(host.inventory()),
            Equals(
                '12 CPUs, 1 socket, 8 cores of 2 kinds, 1 L3 domain, '
                '1 NUMA cell, 16.0 GiB of memory, SMT on'
            ),
        )
