"""The program that reads memory: compiled, run, and its answer checked."""

import os
import shutil
import stat

import fixtures
import testtools
from testtools.matchers import Equals, GreaterThan, Is, IsInstance

from kvm_tuning.core.bench.arms import Arm
from kvm_tuning.core.exceptions import BenchFailed
from kvm_tuning.host.bench import machine, memory, program
from tests.fixtures.fake_host import FakeHost

_MASK = (1 << 64) - 1
COMPILER = any(map(shutil.which, program.COMPILERS))


def mix(number):
    """splitmix64, as the program has it."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


def checksum(size_mib, blocks, seed):
    """Return the sum of the words that two threads read."""
    total = 0
    for thread in (0, 1):
        state = (seed + thread) & _MASK
        for _each in range(blocks):
            state = mix(state)
            first = (state >> 1) % (size_mib << 10) * 128
            total += sum(
                mix((seed + 2 * word + (state & 1)) & _MASK)
                for word in range(first, first + 128)
            )
    return f'{total & _MASK:016x}'


@testtools.skipUnless(COMPILER, 'no C compiler')
class RunTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cache = self.useFixture(fixtures.TempDir()).join('cache')
        self.cpu = frozenset({min(os.sched_getaffinity(0))})

    def arm(self, *cpus, cells=None):
        return Arm('an arm', cpus or (self.cpu, self.cpu), cells)

    def test_what_was_read_can_be_checked(self):
        path = program.built('memory', self.cache)
        run = memory.run(path, self.arm(), 1, blocks=20, seed=7)
        self.assertThat(run.checksum, Equals(checksum(1, 20, 7)))
        other = memory.run(path, self.arm(), 1, blocks=20, seed=8)
        self.assertNotEqual(run.checksum, other.checksum)

    def test_counts(self):
        path = program.built('memory', self.cache)
        run = memory.run(path, self.arm(), 2, blocks=5000)
        self.assertThat(run.ns, GreaterThan(0))
        self.assertThat(run.counts.fill_faults, GreaterThan(0))
        self.assertThat(run.counts.faults, IsInstance(int))
        if run.counts.local_share is not None:
            self.assertThat(0 <= run.counts.local_share <= 1, Is(True))

    def test_a_pcpu_that_is_not_there(self):
        path = program.built('memory', self.cache)
        error = self.assertRaises(
            BenchFailed,
            memory.run, path, self.arm(self.cpu, frozenset({1000})), 1, 1,
        )  # fmt: skip
        self.assertIn('an arm: sched_setaffinity', str(error))

    def test_a_cell_that_is_not_there(self):
        path = program.built('memory', self.cache)
        error = self.assertRaises(
            BenchFailed, memory.run, path, self.arm(cells=(900, 900)), 1, 1
        )
        self.assertIn('an arm: mbind', str(error))

    def test_it_is_compiled_once_and_is_the_callers_alone(self):
        path = program.built('memory', self.cache)
        before = os.stat(path)
        self.assertThat(program.built('memory', self.cache), Equals(path))
        self.assertThat(os.stat(path).st_ino, Equals(before.st_ino))
        self.assertThat(stat.S_IMODE(before.st_mode), Equals(0o700))
        self.assertThat(
            stat.S_IMODE(os.stat(self.cache).st_mode), Equals(0o700)
        )
        self.assertThat(
            os.listdir(self.cache), Equals([os.path.basename(path)])
        )

    def test_a_program_that_others_could_have_written_is_not_run(self):
        path = program.built('memory', self.cache)
        os.chmod(path, 0o777)
        error = self.assertRaises(
            BenchFailed, program.built, 'memory', self.cache
        )
        self.assertIn(path, str(error))


class FailureTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def test_no_compiler(self):
        self.useFixture(fixtures.EnvironmentVariable('PATH', self.folder))
        error = self.assertRaises(
            BenchFailed, program.built, 'memory', f'{self.folder}/cache'
        )
        self.assertIn('there is no C compiler', str(error))
        self.assertThat(os.listdir(f'{self.folder}/cache'), Equals([]))

    def test_a_compiler_that_fails(self):
        path = f'{self.folder}/cc'
        with open(path, 'w') as file:
            file.write('#!/bin/sh\necho stdio.h: no such file >&2\nexit 1\n')
        os.chmod(path, 0o755)
        self.useFixture(fixtures.EnvironmentVariable('PATH', self.folder))
        error = self.assertRaises(
            BenchFailed, program.built, 'memory', f'{self.folder}/cache'
        )
        self.assertIn('stdio.h: no such file', str(error))
        self.assertThat(os.listdir(f'{self.folder}/cache'), Equals([]))

    def test_a_program_that_prints_something_else(self):
        path = f'{self.folder}/program'
        with open(path, 'w') as file:
            file.write('#!/bin/sh\necho "[]"\n')
        os.chmod(path, 0o755)
        arm = Arm('an arm', (frozenset({0}), frozenset({0})))
        self.assertRaises(BenchFailed, memory.run, path, arm, 1)


class MachineTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.host = FakeHost(cells=2, l3_per_cell=2, cores=2, threads=2)
        self.host.write(self.root)

    def put(self, path, text):
        full = f'{self.root}/{path}'
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as file:
            file.write(text)

    def test_fingerprint(self):
        cpu = 'sys/devices/system/cpu'
        self.put('proc/cpuinfo', 'processor\t: 0\nmodel name\t: A CPU @ 1\n')
        self.put(f'{cpu}/vulnerabilities/meltdown', 'Mitigation: PTI\n')
        self.put(f'{cpu}/vulnerabilities/mds', 'Not affected\n')
        self.put(f'{cpu}/cpu0/cpufreq/scaling_governor', 'powersave\n')
        self.put('proc/sys/kernel/numa_balancing', '1\n')
        found = machine.fingerprint(self.host.inventory(), self.root)
        self.assertThat(found['cpu'], Equals('A CPU @ 1'))
        self.assertThat(
            found['mitigations'], Equals({'meltdown': 'Mitigation: PTI'})
        )
        self.assertThat(found['governors'], Equals(['powersave']))
        self.assertThat(found['numa_balancing'], Equals('1'))
        self.assertThat((found['cells'], found['l3_domains']), Equals((2, 4)))

    def test_times_of_an_emulated_machine_mean_nothing(self):
        self.assertIn('TCG', machine.no_times('TCGTCGTCGTCG'))
        self.assertThat(machine.no_times('KVMKVMKVM'), Is(None))

    def test_other_processors_do_not_name_their_hypervisor(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'os.uname',
                lambda: os.uname_result(('', '', '', '', 'aarch64')),
            )
        )
        self.useFixture(fixtures.EnvironmentVariable('PATH', self.root))
        self.assertIn('is not installed', machine.no_times(''))
        for said, emulated in (
            ('qemu', True),
            ('kvm', False),
            ('none', False),
        ):
            path = f'{self.root}/systemd-detect-virt'
            with open(path, 'w') as file:
                file.write(f'#!/bin/sh\necho {said}\n')
            os.chmod(path, 0o755)
            self.assertThat(
                machine.no_times('') is not None, Equals(emulated), said
            )
