"""What the kernel makes of its arguments."""

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.host.prep.boot import effect
from kvm_tuning.host.prep.goals import Argument
from tests.fixtures import booted_host, killed
from tests.fixtures.booted_host import CPUS, IOMMU, ISOLATION, PAGES

_GIB = 1 << 30
_MIB = 1 << 20
_NR = (
    'sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages'
)


def _faults(text, key, value):
    argument = Argument(key, value, '', '')
    return [fault.word for fault in effect.faults(text, [argument])]


class TestFaults(testtools.TestCase):
    def test_of_isolcpus_and_nohz_full_the_first_counts(self):
        for key in ('isolcpus', 'nohz_full'):
            text = f'ro {key}=2-3 {key}=1'
            self.assertThat(_faults(text, key, '2-3'), Equals([]))
            self.assertThat(_faults(text, key, '1'), Equals([f'{key}=2-3']))

    def test_of_others_the_last(self):
        text = 'rcu_nocbs=1 rcu_nocbs=2'
        self.assertThat(_faults(text, 'rcu_nocbs', '2'), Equals([]))
        self.assertThat(
            _faults(text, 'rcu_nocbs', '1'), Equals(['rcu_nocbs=2'])
        )

    def test_one_that_is_not_there(self):
        for text in ('ro', 'ro -- iommu=pt', 'iommux=pt'):
            self.assertThat(_faults(text, 'iommu', 'pt'), Equals(['']))

    def test_the_same_in_other_words(self):
        for key, word, value in (
            ('isolcpus', 'isolcpus=domain,managed_irq,2,3', '2-3'),
            ('nohz-full', 'nohz_full=3,2', '2-3'),
            ('intel_iommu', 'intel_iommu=sm_on,on', 'on'),
            ('iommu', 'iommu=pt,strict', 'pt'),
        ):
            self.assertThat(_faults(word, key, value), Equals([]), word)

    def test_flags_that_isolate_nothing(self):
        word = 'isolcpus=nohz,2-3'
        self.assertThat(_faults(word, 'isolcpus', '2-3'), Equals([word]))


class TestPageCounts(testtools.TestCase):
    def counts(self, text):
        return effect.page_counts(text)

    def test_a_size_twice(self):
        self.assertThat(
            self.counts('hugepagesz=1G hugepages=4 hugepagesz=1G hugepages=8'),
            Equals({_GIB: '4'}),
        )

    def test_the_same_size_in_other_words(self):
        self.assertThat(
            self.counts('hugepagesz=1024M hugepages=4 hugepagesz=1G '
                        'hugepages=8'),
            Equals({_GIB: '4'}),
        )  # fmt: skip

    def test_the_default_size_counts_from_where_it_stands(self):
        self.assertThat(
            self.counts('hugepagesz=1G default_hugepagesz=2M hugepages=4'),
            Equals({2 << 20: '4'}),
        )

    def test_a_default_size_may_come_again_without_a_count(self):
        self.assertThat(
            self.counts('default_hugepagesz=1G hugepagesz=1G hugepages=4'),
            Equals({_GIB: '4'}),
        )
        self.assertThat(
            self.counts('default_hugepagesz=1G hugepages=2 hugepagesz=1G '
                        'hugepages=4'),
            Equals({_GIB: '2'}),
        )  # fmt: skip

    def test_a_count_before_any_size_is_of_the_default(self):
        self.assertThat(
            self.counts('hugepages=2 hugepagesz=2M hugepages=3 '
                        'default_hugepagesz=1G'),
            Equals({_GIB: '2', 2 * _MIB: '3'}),
        )  # fmt: skip

    def test_a_fault_names_both_words(self):
        text = 'hugepagesz=1G hugepages=4 hugepagesz=1G hugepages=0:8'
        self.assertThat(
            _faults(text, 'hugepagesz', '1G hugepages=0:8'),
            Equals(['hugepagesz=1G hugepages=4']),
        )


class TestRunning(testtools.TestCase):
    def host(self, text, more='', **shown):
        root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        host = booted_host.BootedHost(root, text)
        host.grub('')
        host.apply()
        host.booted(more, **shown)
        return host

    def row(self, host):
        (row,) = [r for r in host.rows() if r.concern == 'kernel_arguments']
        return row

    def test_what_the_kernel_shows_counts(self):
        both = ISOLATION.format('isolcpus,nohz_full')
        host = self.host(
            both,
            f'isolcpus={CPUS} nohz_full={CPUS}',
            isolated=CPUS,
            nohz_full=CPUS,
        )
        row = self.row(host)
        self.assertThat(
            (row.state, row.running), Equals(('as wanted', 'given'))
        )
        self.assertThat(host.ready(), Equals(()))

    def test_a_text_that_the_kernel_ignores_does_not(self):
        for key, shown, said in (
            ('isolcpus', {'isolated': '1-3'}, 'isolated shows 1-3, not'),
            ('isolcpus', {'isolated': ''}, 'isolated shows none, not'),
            ('nohz_full', {'nohz_full': '(null)'}, 'nohz_full shows none'),
        ):
            host = self.host(ISOLATION.format(key), f'{key}={CPUS}', **shown)
            row = self.row(host)
            self.assertThat(row.state, Equals('differs'))
            self.assertThat(row.running, Equals(f'not taken: {key}'))
            self.assertThat(row.remark, Contains(said))
            self.assertThat(host.ready()[0], Contains(said))
            self.assertThat(host.notes(), Contains(said))

    def test_a_kernel_without_the_tick_is_named(self):
        for files in (
            {},
            {'boot/config-6.12.0': 'CONFIG_NO_HZ=y\n'},
        ):
            host = self.host(ISOLATION.format('nohz_full'))
            host.run_without('nohz_full')
            for path, text in files.items():
                host.put(path, text)
            self.assertThat(
                host.notes(), Contains('built without CONFIG_NO_HZ_FULL')
            )
            host.booted(f'nohz_full={CPUS}')
            self.assertThat(
                self.row(host).remark,
                Contains('built without CONFIG_NO_HZ_FULL'),
            )
            self.assertThat(host.ready(), HasLength(1))

    def test_offloaded_callbacks_take_a_kernel_that_has_them(self):
        host = self.host(ISOLATION.format('rcu_nocbs'), f'rcu_nocbs={CPUS}')
        self.assertThat(host.ready(), Equals(()))
        host.put('boot/config-6.12.0', '# CONFIG_RCU_NOCB_CPU is not set')
        self.assertThat(host.ready()[0], Contains('CONFIG_RCU_NOCB_CPU'))
        host.put('boot/config-6.12.0', 'CONFIG_RCU_NOCB_CPU=y')
        self.assertThat(host.ready(), Equals(()))

    def test_the_boot_cpu_is_named(self):
        text = ISOLATION.format('nohz_full').replace('0,4', '4')
        host = self.host(text, 'nohz_full=0-3,5-7', nohz_full=CPUS)
        self.assertThat(
            host.notes(), Contains('the boot CPU stays a housekeeping one')
        )

    def test_what_cpusets_isolate_is_not_the_kernels(self):
        text = ISOLATION.format('isolcpus').replace('0,4', '0-4')
        host = self.host(text, 'isolcpus=5-7', isolated='4-7')
        self.assertThat(host.ready(), HasLength(1))
        host.put('sys/fs/cgroup/cpuset.cpus.isolated', '4')
        self.assertThat(host.ready(), Equals(()))

    def test_what_comes_before_it_is_named(self):
        host = self.host(
            ISOLATION.format('isolcpus'),
            f'isolcpus=1 isolcpus={CPUS}',
            isolated='1',
        )
        self.assertThat(
            self.row(host).remark,
            Contains('isolcpus=1 is also on the command line, and the kernel'),
        )

    def test_huge_pages_are_judged_by_their_pool(self):
        host = self.host(PAGES)
        self.assertThat(host.get(_NR), Equals('8'))
        self.assertThat(host.ready(), Equals(()))
        host.booted('hugepagesz=1G hugepages=0:8')
        host.put(_NR, 5)
        row = self.row(host)
        self.assertThat(row.running, Equals('not taken: hugepagesz'))
        self.assertThat(row.remark, Contains('has 5 of 8 huge pages of 1G'))

    def test_huge_pages_of_a_size_given_twice(self):
        host = self.host(PAGES)
        host.booted(
            'default_hugepagesz=1G hugepagesz=1G hugepages=4 hugepagesz=1G '
            'hugepages=0:8'
        )
        host.put(_NR, 4)
        row = self.row(host)
        self.assertThat(row.running, Not(Equals('given')))
        self.assertThat(
            row.remark, Contains('hugepagesz=1G hugepages=4 precedes it')
        )

    def test_the_iommus_are_judged_by_the_command_line(self):
        host = self.host(IOMMU)
        self.assertThat(self.row(host).running, Equals('not yet'))
        host.booted('intel_iommu=on iommu=pt')
        self.assertThat(self.row(host).running, Equals('given'))
