"""Names of extra specs that exist, and such that are near one."""

import testtools

from kvm_tuning.core.nova import spec_names

KNOBS = ('kvm:iothreads', 'kvm:profile', 'kvm:vif_queues', 'hw:cpu_policy')


def meant(*keys):
    """Return what each misspelt key is said to mean."""
    return [
        str(error).rpartition(' ')[2].rstrip('?')
        for error in spec_names.misspelt(keys, KNOBS, 'f')
    ]


def not_done(*keys):
    specs = dict.fromkeys(keys, '1')
    return {each.code: each.text for each in spec_names.not_done(specs, KNOBS)}


class TestMisspelt(testtools.TestCase):
    def test_names_that_exist(self):
        self.assertEqual(
            [],
            meant(*KNOBS, 'hw:numa_cpus.0', 'hw:pmu', 'quota:cpu_quota', 'x'),
        )

    def test_a_letter_more_or_less(self):
        self.assertEqual(
            [
                'hw:cpu_thread_policy',
                'hw:cpu_thread_policy',
                'hw:mem_page_size',
                'hw:numa_nodes',
            ],
            meant(
                'hw:cpu__thread_policy',
                'hw:cpu_threads_policy',
                'hw:mem_pages_size',
                'hw:numa_node',
            ),
        )

    def test_another_case_or_separator(self):
        self.assertEqual(
            ['hw:cpu_policy'] * 5,
            meant(
                'HW:cpu_policy',
                'hw:CPU_Policy',
                'hw:cpu-policy',
                'hw_cpu_policy',
                ' hw: cpu_policy',
            ),
        )

    def test_the_number_of_a_cell(self):
        self.assertEqual(
            ['hw:numa_nodes', 'hw:numa_cpus.0', 'hw:numa_mem.0', 'hw:pmu'],
            meant(
                'hw:numa_nodes.0', 'hw:numa_cpus', 'hw:numamem.x', 'hw:pmu.1'
            ),
        )

    def test_our_namespace_by_another_name(self):
        self.assertEqual(
            ['kvm:iothreads', 'kvm:profile', 'kvm:vif_queues'],
            meant(
                'KVM:iothreads', 'kvm_tuning:profile', 'kvm-tuning:vif_queue'
            ),
        )

    def test_other_names_are_nobodys(self):
        self.assertEqual(
            [], meant('hw:bogus', 'trait:HW_CPU_X86_AVX', 'my:cpu_policy')
        )


class TestNotDone(testtools.TestCase):
    def test_what_nova_alone_carries_out(self):
        found = not_done(
            'hw:pmu', 'quota:cpu_quota', 'hw:maxphysaddr_mode', 'hw:cpu_policy'
        )
        self.assertEqual({spec_names.NOT_DONE}, set(found))
        self.assertIn(
            'hw:maxphysaddr_mode, hw:pmu, quota:cpu_quota: ',
            found[spec_names.NOT_DONE],
        )

    def test_what_nobody_knows(self):
        found = not_done('hw:bogus', 'hw:numa_node')
        self.assertEqual({spec_names.UNKNOWN}, set(found))
        self.assertIn('hw:bogus: ', found[spec_names.UNKNOWN])

    def test_nothing(self):
        self.assertEqual({}, not_done('kvm:profile', 'trait:X', 'resources:Y'))
