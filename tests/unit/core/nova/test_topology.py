"""Nova's keys about cells and CPUs, without Nova.

That their meaning is Nova's is shown by tests/nova; here is what each key
does, and what its errors say.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Contains, Equals, HasLength, Is, LessThan

from kvm_tuning.core.exceptions import (
    ConflictingKnobs,
    InvalidValue,
    RequestError,
    SeveralErrors,
)
from kvm_tuning.core.nova import topology


def read(extra_specs=None, properties=None, vcpus=4, memory_mib=4096):
    return topology.read(
        vcpus, memory_mib, extra_specs or {}, properties or {}
    )


def cells(*args, **kwargs):
    """Return (shared, dedicated, MiB) of each cell."""
    return [
        (sorted(cell.shared), sorted(cell.dedicated), cell.memory_mib)
        for cell in read(*args, **kwargs).cells
    ]


PINNED = {'hw:cpu_policy': 'dedicated'}
MIXED = {'hw:cpu_policy': 'mixed', 'hw:cpu_dedicated_mask': '^0'}
ALL = [0, 1, 2, 3]
ENCRYPTED = {'hw_mem_encryption': 'yes', 'hw_firmware_type': 'uefi'}


class TestNothingAsked(testtools.TestCase):
    def test_no_keys(self):
        self.assertThat(read(), Is(None))

    def test_keys_that_need_no_cells(self):
        for specs in (
            {'hw:cpu_policy': 'shared'},
            {'resources:VCPU': '4'},
            {'hw:emulator_threads_policy': 'share'},
            {'hw:numa_cpus.0': '0-9', 'hw:numa_mem.0': 'x'},
            {'hw:mem_page_size': ''},
            {'hw:mem_page_size': '0'},
            {'hw:pmem': ' , '},
            {'resources:MEMORY_MB': '4096', 'resources:PCPU': 'x'},
            {'kvm:iothreads': '2'},
        ):
            self.assertThat(read(specs), Is(None), specs)

    def test_unknown_properties_are_dropped(self):
        properties = {'hw_numa_cpus': 'x', 'colour': 'red', 'hw_numa_mem': 'x'}
        self.assertThat(read({}, properties), Is(None))


class TestCells(testtools.TestCase):
    def test_dedicated(self):
        self.assertThat(cells(PINNED), Equals([([], ALL, 4096)]))

    def test_dedicated_by_image(self):
        found = cells({}, {'hw_cpu_policy': 'dedicated'})
        self.assertThat(found, Equals([([], ALL, 4096)]))

    def test_dedicated_by_resources(self):
        self.assertThat(
            cells({'resources1:PCPU': '4'}), Equals([([], ALL, 4096)])
        )

    def test_flavor_outranks_a_weaker_image(self):
        found = cells(PINNED, {'hw_cpu_policy': 'shared'})
        self.assertThat(found, Equals([([], ALL, 4096)]))

    def test_mixed(self):
        self.assertThat(cells(MIXED), Equals([([0], [1, 2, 3], 4096)]))

    def test_mixed_by_realtime(self):
        found = cells(
            {
                'hw:cpu_policy': 'mixed',
                'hw:cpu_realtime': 'yes',
                'hw:cpu_realtime_mask': '2-3',
            }
        )
        self.assertThat(found, Equals([([0, 1], [2, 3], 4096)]))

    def test_image_realtime_mask_outranks_the_flavors(self):
        found = cells(
            {
                'hw:cpu_policy': 'mixed',
                'hw:cpu_realtime': 'yes',
                'hw:cpu_realtime_mask': '2-3',
            },
            {'hw_cpu_realtime_mask': '^0-2'},
        )
        self.assertThat(found, Equals([([0, 1, 2], [3], 4096)]))

    def test_even_cells(self):
        found = cells({**PINNED, 'hw:numa_nodes': '2'})
        self.assertThat(
            found, Equals([([], [0, 1], 2048), ([], [2, 3], 2048)])
        )

    def test_cells_by_image(self):
        found = cells({}, {'hw_numa_nodes': ' 2 '})
        self.assertThat(
            found, Equals([([0, 1], [], 2048), ([2, 3], [], 2048)])
        )

    def test_listed_cells(self):
        specs = {
            'hw:numa_nodes': '2',
            'hw:numa_cpus.0': '0-3,^1',
            'hw:numa_mem.0': '3072',
            'hw:numa_cpus.1': '1',
            'hw:numa_mem.1': '1024',
        }
        self.assertThat(
            cells({**MIXED, **specs}),
            Equals([([0], [2, 3], 3072), ([], [1], 1024)]),
        )
        self.assertThat(
            cells(
                {},
                {
                    key.replace('hw:', 'hw_'): text
                    for key, text in specs.items()
                },
            ),
            Equals([([0, 2, 3], [], 3072), ([1], [], 1024)]),
        )

    def test_persistent_memory_makes_one_cell(self):
        self.assertThat(cells({'hw:pmem': '6GB'}), Equals([(ALL, [], 4096)]))

    def test_vcpus_of_a_cell(self):
        self.assertThat(read(MIXED).cells[0].vcpus, Equals(frozenset(ALL)))


class TestPolicies(testtools.TestCase):
    def test_thread_policy(self):
        for specs, properties, wanted in (
            ({'hw:cpu_thread_policy': 'require'}, {}, 'require'),
            ({}, {'hw_cpu_thread_policy': 'isolate'}, 'isolate'),
            (
                {'hw:cpu_thread_policy': 'prefer'},
                {'hw_cpu_thread_policy': 'isolate'},
                'prefer',
            ),
            ({'trait:HW_CPU_HYPERTHREADING': 'forbidden'}, {}, 'isolate'),
            ({'trait2:HW_CPU_HYPERTHREADING': 'required'}, {}, 'require'),
            ({}, {'trait:HW_CPU_HYPERTHREADING': 'required'}, 'require'),
            ({}, {'trait:HW_CPU_HYPERTHREADING': 'forbidden'}, None),
            ({'trait:HW_CPU_HYPERTHREADING': 'preferred'}, {}, None),
            ({}, {}, None),
        ):
            cell = read({**PINNED, **specs}, properties).cells[0]
            self.assertThat(cell.cpu_policy, Equals('dedicated'))
            self.assertThat(
                cell.cpu_thread_policy, Equals(wanted), (specs, properties)
            )

    def test_emulator_threads(self):
        found = read({**PINNED, 'hw:emulator_threads_policy': 'isolate'})
        self.assertThat(found.emulator_threads_policy, Equals('isolate'))

    def test_one_more_pcpu_for_isolated_emulator_threads(self):
        specs = {
            'resources:PCPU': '5',
            'hw:emulator_threads_policy': 'isolate',
        }
        self.assertThat(cells(specs), Equals([([], ALL, 4096)]))

    def test_realtime_of_all_vcpus_needs_emulator_threads_elsewhere(self):
        specs = {
            **PINNED,
            'hw:cpu_realtime': 'true',
            'hw:emulator_threads_policy': 'share',
        }
        self.assertThat(cells(specs), Equals([([], ALL, 4096)]))


class TestPageSizes(testtools.TestCase):
    def size(self, flavor, **properties):
        found = read({'hw:mem_page_size': flavor}, properties)
        return found.cells[0].page_size

    def test_sizes(self):
        for text, wanted in (
            ('small', topology.SMALL),
            ('large', topology.LARGE),
            ('any', topology.ANY),
            ('2048', 2048),
            ('2MB', 2048),
            ('2MiB', 2048),
            ('1GB', 1048576),
            ('.5GB', 524288),
            ('16777216b', 2048),
            ('16777216bit', 2048),
            ('1.5KB', 1),
        ):
            self.assertThat(self.size(text), Equals(wanted), text)

    def test_image_chooses_where_it_may(self):
        for flavor in ('any', 'large'):
            found = self.size(flavor, hw_mem_page_size='1GB')
            self.assertThat(found, Equals(1048576))


class TestLockedMemory(testtools.TestCase):
    def test_locked_with_a_page_size(self):
        specs = {'hw:mem_page_size': 'small', 'hw:locked_memory': 'true'}
        for properties in ({}, {'hw_locked_memory': 'on'}):
            self.assertThat(read(specs, properties).cells, HasLength(1))

    def test_locked_memory_is_not_checked_for_encryption(self):
        specs = {'hw:mem_page_size': 'small', 'hw:locked_memory': 'true'}
        found = read(specs, {'hw_mem_encryption': 'true'})
        self.assertThat(found.cells, HasLength(1))

    def test_encryption_that_an_image_can_do(self):
        for properties in (
            {**ENCRYPTED},
            {**ENCRYPTED, 'hw_machine_type': 'pc-q35-9.2'},
            {**ENCRYPTED, 'hw_mem_encryption_model': 'amd-sev-es'},
            {
                **ENCRYPTED,
                'hw_mem_encryption_model': 'intel-tdx',
                'hw_firmware_stateless': 'true',
                'hw_video_model': 'none',
            },
        ):
            self.assertThat(read({}, properties), Is(None), properties)

    def test_encryption_that_nobody_wants(self):
        self.assertThat(read({'hw:mem_encryption': 'false'}), Is(None))


CONFLICTS = [
    (
        {'hw:cpu_policy': 'shared'},
        {'hw_cpu_policy': 'dedicated'},
        'hw:cpu_policy=shared (flavor extra spec) and '
        'hw_cpu_policy=dedicated (image property) contradict each other: '
        'the image may say shared, or nothing',
    ),
    (
        MIXED,
        {'hw_cpu_policy': 'dedicated'},
        'the image may say shared or mixed, or nothing',
    ),
    (
        {**PINNED, 'hw:cpu_thread_policy': 'isolate'},
        {'hw_cpu_thread_policy': 'prefer'},
        'want the same in both, or one of them only',
    ),
    (
        {**PINNED, 'resources:VCPU': '4'},
        {},
        'resources:VCPU=4 (flavor extra spec) and hw:cpu_policy=dedicated '
        '(flavor extra spec) say how vCPUs are placed more than once: want '
        'one of them',
    ),
    (
        {'resources:PCPU': '4'},
        {'hw_cpu_policy': 'shared'},
        'resources:PCPU=4 (flavor extra spec) and hw_cpu_policy=shared '
        '(image property) say how',
    ),
    (
        {'resources:PCPU': '3', 'resources:VCPU': '1'},
        {},
        'resources:VCPU=1 (flavor extra spec) and resources:PCPU=3',
    ),
    (
        {'resources:PCPU': '3'},
        {},
        'resources:PCPU=3 (flavor extra spec) requests 3 pCPUs: want 4, one '
        'for each of the 4 vCPUs',
    ),
    (
        {'resources:PCPU': '4', 'hw:emulator_threads_policy': 'isolate'},
        {},
        'want 5, one for each of the 4 vCPUs and one for the emulator',
    ),
    (
        {
            **PINNED,
            'hw:cpu_thread_policy': 'require',
            'trait:HW_CPU_HYPERTHREADING': 'required',
        },
        {},
        'both say which threads are used: want one of them',
    ),
    (
        {'hw:cpu_thread_policy': 'prefer'},
        {},
        'hw:cpu_thread_policy=prefer (flavor extra spec) needs dedicated '
        'vCPUs, and hw:cpu_policy is not set: want hw:cpu_policy=dedicated',
    ),
    (
        {},
        {'trait:HW_CPU_HYPERTHREADING': 'required'},
        'the trait HW_CPU_HYPERTHREADING needs dedicated vCPUs',
    ),
    (
        {'resources:VCPU': '4', 'hw:emulator_threads_policy': 'isolate'},
        {},
        'and resources:VCPU=4 (flavor extra spec) gives others: want share',
    ),
    (
        {'hw:cpu_policy': 'shared', 'hw:cpu_dedicated_mask': '1'},
        {},
        'and hw:cpu_policy=shared (flavor extra spec) gives others: want '
        'hw:cpu_policy=mixed',
    ),
    (
        {'hw:cpu_realtime': 'on', 'hw:cpu_realtime_mask': '^0'},
        {},
        'want hw:cpu_policy=dedicated or mixed',
    ),
    (
        {**PINNED, 'hw:cpu_dedicated_mask': '1'},
        {},
        'want hw:cpu_policy=mixed, or no mask',
    ),
    (
        {'hw:cpu_policy': 'mixed'},
        {},
        'hw:cpu_policy=mixed (flavor extra spec) does not say which vCPUs '
        'are dedicated: want hw:cpu_dedicated_mask or hw:cpu_realtime with',
    ),
    (
        {**MIXED, 'hw:cpu_realtime': '1', 'hw:cpu_realtime_mask': '1'},
        {},
        'both say which vCPUs are dedicated',
    ),
    (
        {'hw:numa_nodes': '2'},
        {'hw_numa_nodes': '2'},
        "are both set: want the flavor's only",
    ),
    (
        {'hw:numa_nodes': '3'},
        {},
        'hw:numa_nodes=3 (flavor extra spec): 4 vCPUs and 4096 MiB do not '
        'divide evenly',
    ),
    (
        {'hw:numa_nodes': '2', 'hw:numa_cpus.0': '0-3'},
        {},
        'hw:numa_nodes=2 (flavor extra spec), with 1 keys of '
        'hw:numa_cpus.N and 0 of hw:numa_mem.N: want both for every cell, '
        'counted from 0',
    ),
    (
        {**PINNED, 'hw:numa_mem.0': '2048', 'hw:numa_mem.1': '2048'},
        {},
        'hw:numa_nodes is not set, which means one cell, with 0 keys',
    ),
    (
        {**PINNED, 'hw:numa_cpus.0': '0-3', 'hw:numa_mem.0': '4096'},
        {'hw_numa_mem.0': '4096'},
        "are both set: want the flavor's only",
    ),
    (
        {**PINNED, 'hw:numa_cpus.0': '0-4', 'hw:numa_mem.0': '4096'},
        {},
        'hw:numa_cpus.0=0-4 (flavor extra spec) names vCPU 4: the flavor '
        'has 0 to 3',
    ),
    (
        {**PINNED, 'hw:numa_cpus.0': '0-2', 'hw:numa_mem.0': '4096'},
        {},
        'hw:numa_cpus.0=0-2 (flavor extra spec) and on leave out vCPU 3',
    ),
    (
        {
            'hw:numa_nodes': '2',
            'hw:numa_cpus.0': '0-2',
            'hw:numa_mem.0': '2048',
            'hw:numa_cpus.1': '2-3',
            'hw:numa_mem.1': '2048',
        },
        {},
        'hw:numa_cpus.1=2-3 (flavor extra spec) names vCPU 2, which another',
    ),
    (
        {**PINNED, 'hw:numa_cpus.0': '0-3', 'hw:numa_mem.0': '4000'},
        {},
        'hw:numa_mem.0=4000 (flavor extra spec) and on add up to 4000 MiB: '
        'the flavor has 4096 MiB',
    ),
    (
        {},
        {
            'hw_numa_nodes': '1',
            'hw_numa_cpus.0': '0-7',
            'hw_numa_mem.0': '4096',
        },
        'hw_numa_cpus.0=0-7 (image property) names vCPU 4',
    ),
    (
        {},
        {'hw_mem_page_size': '2MB'},
        'hw_mem_page_size=2MB (image property) needs a hw:mem_page_size in '
        'the flavor',
    ),
    (
        {'hw:mem_page_size': 'small'},
        {'hw_mem_page_size': '2MB'},
        'an image may choose only where the flavor says any or large',
    ),
    (
        {'hw:locked_memory': 'true'},
        {},
        'hw:locked_memory=true (flavor extra spec) locks memory without a '
        'page size: want hw:mem_page_size too, small at least',
    ),
    (
        {},
        {'hw_locked_memory': 'true'},
        'hw_locked_memory=true (image property) locks memory',
    ),
    (
        {'hw:mem_page_size': 'small', 'hw:locked_memory': 'false'},
        {'hw_locked_memory': 'true'},
        'hw:locked_memory=false (flavor extra spec) and '
        'hw_locked_memory=true (image property) contradict each other',
    ),
    (
        {'hw:mem_encryption': 'true'},
        {},
        'hw:mem_encryption=true (flavor extra spec) needs '
        'hw_firmware_type=uefi',
    ),
    (
        {'hw:mem_encryption': 'false'},
        ENCRYPTED,
        'contradict each other',
    ),
    (
        {'hw:mem_encryption_model': 'intel-tdx'},
        {**ENCRYPTED, 'hw_mem_encryption_model': 'amd-sev'},
        'contradict each other',
    ),
    ({}, {**ENCRYPTED, 'hw_machine_type': 'pc'}, 'want a q35 machine'),
    (
        {},
        {**ENCRYPTED, 'hw_mem_encryption_model': 'amd-sev-snp'},
        'with amd-sev-snp needs hw_firmware_stateless=true',
    ),
    (
        {'hw:mem_encryption_model': 'intel-tdx'},
        {**ENCRYPTED, 'hw_firmware_stateless': '1'},
        'with intel-tdx needs hw_video_model=none',
    ),
]

INVALID = [
    (
        {'hw:cpu_policy': 'pinned'},
        {},
        'hw:cpu_policy=pinned (flavor extra spec): want shared, '
        'dedicated or mixed',
    ),
    (
        {},
        {'hw_cpu_policy': 'Dedicated'},
        'hw_cpu_policy=Dedicated (image property): want shared, dedicated, ',
    ),
    (
        {'hw:cpu_thread_policy': 'share'},
        {},
        'want prefer, isolate or require',
    ),
    (
        {**PINNED, 'hw:cpu_thread_policy': ''},
        {},
        "hw:cpu_thread_policy='' (flavor extra spec): want prefer",
    ),
    (
        {'hw:emulator_threads_policy': 'none'},
        {},
        'want share or isolate',
    ),
    (
        {**PINNED, 'hw:cpu_realtime': 'true'},
        {},
        'hw:cpu_realtime=true (flavor extra spec) takes all 4 vCPUs: want a '
        'hw:cpu_realtime_mask such as ^0',
    ),
    (
        {'hw:cpu_realtime': 'true', 'hw:cpu_realtime_mask': '^0-3'},
        {},
        'leaves no realtime vCPU of the 4',
    ),
    (
        {'hw:cpu_realtime': 'true'},
        {'hw_cpu_realtime_mask': '0-999999999'},
        'hw_cpu_realtime_mask=0-999999999 (image property) names vCPU 4: '
        'want 0 to 3',
    ),
    (
        {**MIXED, 'hw:cpu_dedicated_mask': '1-0'},
        {},
        'want a vCPU list such as 0-3,6 or 0-7,^2',
    ),
    ({**MIXED, 'hw:cpu_dedicated_mask': '0-3'}, {}, 'names all of the 4'),
    ({**MIXED, 'hw:cpu_dedicated_mask': '0,^0'}, {}, 'names none of the 4'),
    (
        {'hw:numa_nodes': '02'},
        {},
        'want a whole number of guest cells, 1 or more',
    ),
    ({}, {'hw_numa_nodes': '0'}, 'want a whole number of guest cells'),
    ({}, {'hw_numa_nodes': 'two'}, 'want a whole number'),
    (
        {'hw:mem_page_size': '2 MB'},
        {},
        'hw:mem_page_size=2 MB (flavor extra spec): want small, large, any, '
        'or a size such as 2048, 2MB or 1GB',
    ),
    ({'hw:mem_page_size': '9' * 400 + 'B'}, {}, 'want small, large'),
    (
        {'hw:mem_page_size': 'any'},
        {'hw_mem_page_size': 'huge\n'},
        "hw_mem_page_size='huge\\n' (image property): want",
    ),
    (
        {**PINNED, 'hw:numa_cpus.0': 'x', 'hw:numa_mem.0': '4096'},
        {},
        'hw:numa_cpus.0=x (flavor extra spec): want a vCPU list',
    ),
    (
        {**PINNED, 'hw:numa_cpus.0': '0-3', 'hw:numa_mem.0': '4G'},
        {},
        'hw:numa_mem.0=4G (flavor extra spec): want a whole number of MiB',
    ),
    (
        {'hw:mem_encryption_model': 'sgx'},
        ENCRYPTED,
        'hw:mem_encryption_model=sgx (flavor extra spec): want amd-sev, ',
    ),
]


class TestErrors(testtools.TestCase):
    def check(self, kind, rows):
        for specs, properties, wanted in rows:
            found = self.assertRaises(kind, read, specs, properties)
            self.assertThat(str(found), Contains(wanted))

    def test_conflicts(self):
        self.check(ConflictingKnobs, CONFLICTS)

    def test_invalid_values(self):
        self.check(InvalidValue, INVALID)

    def test_all_errors_at_once(self):
        found = self.assertRaises(
            SeveralErrors,
            read,
            {'hw:cpu_policy': 'x', 'hw:numa_nodes': 'y'},
            {'hw_locked_memory': 'true'},
        )
        self.assertThat(found.errors, HasLength(3))

    def test_all_image_errors_at_once(self):
        found = self.assertRaises(
            SeveralErrors, read, {}, {'hw_video_ram': 'x', 'os_type': 'bsd'}
        )
        self.assertThat(found.errors, HasLength(2))

    def test_several_conflicts_of_shared_vcpus(self):
        found = self.assertRaises(
            SeveralErrors,
            read,
            {
                'hw:cpu_thread_policy': 'prefer',
                'hw:emulator_threads_policy': 'isolate',
            },
        )
        self.assertThat(found.errors, HasLength(2))

    def test_sources_are_named_as_the_caller_says(self):
        found = self.assertRaises(
            InvalidValue,
            topology.read,
            4,
            4096,
            {'hw:cpu_policy': 'x'},
            {},
            flavor="flavor 'gold'",
        )
        self.assertThat(
            str(found), Contains("hw:cpu_policy=x (flavor 'gold')")
        )

    def test_vcpus_are_bounded(self):
        for vcpus in (0, -1, 65537, 10**12):
            self.assertRaises(InvalidValue, read, PINNED, vcpus=vcpus)


TEXTS = st.one_of(
    st.text(max_size=12),
    st.text('0123456789-^, ', max_size=12),
    st.sampled_from(
        ('dedicated', 'mixed', 'require', 'true', '2', '2MB', 'uefi')
    ),
)
KEYS = st.sampled_from(
    sorted({key for specs, _, _ in CONFLICTS + INVALID for key in specs})
)
PROPERTIES = st.sampled_from(
    sorted({key for _, names, _ in CONFLICTS + INVALID for key in names})
)


class TestAnything(testtools.TestCase):
    @settings(deadline=None, max_examples=300)
    @given(
        st.integers(1, 300),
        st.integers(1, 10**6),
        st.dictionaries(KEYS | TEXTS, TEXTS, max_size=8),
        st.dictionaries(PROPERTIES | TEXTS, TEXTS, max_size=8),
    )
    def test_cells_or_our_error(self, vcpus, memory_mib, specs, properties):
        try:
            found = read(specs, properties, vcpus, memory_mib)
        except RequestError as exc:
            for line in str(exc).splitlines():
                self.assertThat(len(line), LessThan(800))
            return
        if found is None:
            return
        dealt = [cpu for cell in found.cells for cpu in sorted(cell.vcpus)]
        self.assertThat(sorted(dealt), Equals(list(range(vcpus))))
        total = sum(cell.memory_mib for cell in found.cells)
        self.assertThat(total, Equals(memory_mib))
