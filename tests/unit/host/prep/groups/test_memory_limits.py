"""More huge pages than there is memory, and THP of every size."""

import fixtures
import testtools
from testtools.matchers import Contains, Equals, MatchesAll, Not

from kvm_tuning.host import configuration
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import configured, journal, status
from kvm_tuning.host.prep.goals import Note
from kvm_tuning.host.prep.groups import huge_pages
from kvm_tuning.host.prep.groups import transparent_huge_pages as thp
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import killed, prepared
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

_GIB_KIB = 1 << 20
_NODE = 'sys/devices/system/node'


class LimitsTest(testtools.TestCase):
    def build(self, **host):
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        small = {'l3_per_cell': 0, 'cores': 1, 'threads': 1, 'cells': 1}
        FakeHost(**{**small, **host}).write(self.root)
        self.kernel = FakeKernel(self.root)
        add_memory_files(self.kernel)

    def host(self):
        return Host(Tree(self.root))

    def configured(self, text):
        self.kernel.put('etc/kvm-tuning/kvm-tuning.conf', text)
        conf, host = configuration.load(self.root), self.host()
        items = configured.items(conf, host)
        return prepared.plan(self.kernel, items, configured.terms(conf, host))


class TestHugePages(LimitsTest):
    def refusals(self, pages, allow='', **host):
        pools = {2048: 0, _GIB_KIB: 0}
        self.build(**{'huge_pages': pools, 'memory_gib': 16, **host})
        lines = [
            f'pages = node:{cell},size:{size},count:{count}'
            for (cell, size), count in pages.items()
        ]
        text = '\n'.join(['[huge_pages]', *lines, f'allow = {allow}'])
        self.result = self.configured(text)
        return ' '.join(map(str, self.result.refusals))

    def test_beyond_the_memory_of_the_cell(self):
        for pages in (
            {(0, 2048): 8193},
            {(0, _GIB_KIB): 17},
            {(0, _GIB_KIB): 12, (0, 2048): 2049},
        ):
            for allow in ('', 'free-memory'):
                text = self.refusals(pages, allow)
                self.assertThat(text, Contains('16777216 KiB of memory'))
                self.assertThat(text, Not(Contains('lifts this')))

    def test_with_the_pools_that_are_there(self):
        text = self.refusals(
            {(0, 2048): 4096},
            huge_pages={2048: 0, _GIB_KIB: 10},
            free_gib=12,
        )
        self.assertThat(text, Contains('of memory'))

    def test_beyond_what_is_free(self):
        text = self.refusals({(0, 2048): 2048}, free_gib=3)
        self.assertThat(
            text,
            MatchesAll(
                Contains('needs 4194304 KiB more'),
                Contains('3145728 KiB free'),
                Contains('allow = free-memory lifts this'),
            ),
        )
        text = self.refusals({(0, 2048): 2048}, 'free-memory', free_gib=3)
        self.assertThat(text, Equals(''))
        self.assertThat(
            ' '.join(map(str, self.result.notes)), Contains('(allowed)')
        )

    def test_of_each_cell(self):
        pages = {(0, 2048): 2048, (1, 2048): 8193}
        text = self.refusals(pages, cells=2)
        self.assertThat(text, Contains('cell 1'))
        self.assertThat(text, Not(Contains('in cell 0')))

    def test_one_size_may_take_from_another(self):
        pools = {2048: 4096, _GIB_KIB: 0}
        pages = {(0, 2048): 0, (0, _GIB_KIB): 10}
        text = self.refusals(pages, huge_pages=pools, free_gib=4)
        self.assertThat(text, Equals(''))

    def test_what_is_there_already(self):
        pools = {2048: 4096, _GIB_KIB: 0}
        text = self.refusals({(0, 2048): 4096}, huge_pages=pools, free_gib=0)
        self.assertThat(text, Equals(''))
        text = self.refusals({(0, 2048): 2048}, huge_pages=pools, free_gib=0)
        self.assertThat(text, Equals(''))

    def test_the_page_cache_can_be_given_up(self):
        self.build(huge_pages={2048: 0}, free_gib=1)
        self.kernel.put(
            f'{_NODE}/node0/meminfo',
            'Node 0 MemTotal: 16777216 kB\nNode 0 MemFree: 1048576 kB\n'
            'Node 0 Active(file): 4194304 kB\n'
            'Node 0 Inactive(file): 2097152 kB',
        )
        for count, refused in ((2048, False), (2049, True)):
            found = self.configured(
                f'[huge_pages]\npages = node:0,size:2048,count:{count}'
            )
            self.assertThat(bool(found.refusals), Equals(refused))

    def test_one_gib_pages_on_arm64(self):
        self.build(huge_pages={2048: 0})
        for cpu, told in (
            ('vendor_id\t: GenuineIntel', True),
            ('CPU implementer\t: 0x41', False),
        ):
            self.kernel.put('proc/cpuinfo', cpu)
            wanted = huge_pages.Wanted({(0, _GIB_KIB): 1})
            state = huge_pages.read(self.host())
            (refusal,) = huge_pages.plan(wanted, state)
            flag = Contains('pdpe1gb')
            self.assertThat(str(refusal), flag if told else Not(flag))


class TestSizesOfThp(LimitsTest):
    def notes(self, enabled, modes, pmd=None, page_kib=4):
        self.build(page_size_kib=page_kib)
        for size, mode in modes.items():
            words = ['always', 'inherit', 'madvise', 'never']
            shown = ' '.join(f'[{w}]' if w == mode else w for w in words)
            home = f'{thp.DIRECTORY}/hugepages-{size}kB'
            self.kernel.put(f'{home}/enabled', shown)
        if pmd:
            self.kernel.put(f'{thp.DIRECTORY}/hpage_pmd_size', pmd)
        state = thp.read(self.host())
        found = thp.plan(thp.Wanted(enabled=enabled), state)
        return ' '.join(str(i) for i in found if isinstance(i, Note))

    def test_any_size_may_have_a_mode_of_its_own(self):
        for size in (16, 64, 1024, 2048):
            text = self.notes('never', {size: 'always'})
            self.assertThat(text, Contains(f'pages of {size} KiB'))
            self.assertThat(text, Contains('always'))

    def test_what_follows_or_agrees_is_not_told(self):
        for mode in ('inherit', 'never'):
            text = self.notes('never', {64: mode, 2048: mode})
            self.assertThat(text, Equals(''))
        # Small sizes are off from boot on.
        self.assertThat(self.notes('always', {64: 'never'}), Equals(''))

    def test_the_size_of_the_pmd_that_is_off(self):
        for page_kib, pmd, size in (
            (4, 2 << 20, 2048),
            (64, 512 << 20, 524288),
            (64, None, 524288),
            (16, None, 32768),
        ):
            text = self.notes('always', {size: 'never'}, pmd, page_kib)
            self.assertThat(text, Contains(f'pages of {size} KiB'))
        # On arm64 with 64 KiB pages, 2 MiB is one of the small sizes.
        text = self.notes('always', {2048: 'never'}, 512 << 20, 64)
        self.assertThat(text, Equals(''))


class TestOtherSetters(LimitsTest):
    def others(self, text, files, label):
        self.build(huge_pages={2048: 0})
        self.kernel.put('sys/module/kvm/parameters/halt_poll_ns', 200000)
        self.kernel.put('etc/kvm-tuning/kvm-tuning.conf', text)
        for path, content in files.items():
            self.kernel.put(path, content)
        conf, host = configuration.load(self.root), self.host()
        record = journal.load(self.kernel.tree())
        items = configured.items(conf, host, record)
        rows = status.rows(host, table.KINDS, record, items)
        return ' '.join(
            who for row in rows if label in row.setting for who in row.others
        )

    def test_each_kind_of_file(self):
        ksm = '[ksm]\nrun = off'
        run = '/sys/kernel/mm/ksm/run'
        pages = '[huge_pages]\npages = node:0,size:2048,count:1'
        small = '[compaction]\nproactiveness = 20'
        poll = '[kvm_modules]\nhalt_poll_ns = 50000'
        parameter = '/sys/module/kvm/parameters/halt_poll_ns'
        for text, label, path, content in (
            (ksm, 'KSM', 'etc/tmpfiles.d/a.conf', f'w {run} - - - - 1'),
            (ksm, 'KSM', 'usr/lib/tmpfiles.d/a.conf', f'w+ {run} - - - - 1'),
            (ksm, 'KSM', 'etc/sysfs.conf', 'kernel/mm/ksm/run = 1'),
            (ksm, 'KSM', 'etc/rc.local', f'#!/bin/sh\necho 1 > {run}'),
            (
                ksm,
                'KSM',
                'etc/udev/rules.d/99-a.rules',
                f'SUBSYSTEM=="cpu", RUN+="/bin/sh -c \'echo 1 > {run}\'"',
            ),
            (pages, 'huge', 'etc/sysctl.d/a.conf', 'vm.nr_hugepages = 9'),
            (pages, 'huge', 'etc/sysctl.d/a.conf', 'vm/nr_hugepages=9'),
            (pages, 'huge', 'etc/sysctl.conf', 'vm.nr_hugepages = 9'),
            (pages, 'huge', 'proc/cmdline', 'sysctl.vm.nr_hugepages=9'),
            (small, 'comp', 'run/sysctl.d/a.conf', '-vm.compaction_p* = 0'),
            (
                small,
                'comp',
                'etc/udev/rules.d/99-a.rules',
                'SUBSYSTEM=="cpu", SYSCTL{vm/compaction_proactiveness}="0"',
            ),
            (
                poll,
                'param',
                'etc/tmpfiles.d/a.conf',
                f'w {parameter} - - - - 0',
            ),
        ):
            found = self.others(text, {path: content}, label)
            self.assertThat(found, Not(Equals('')), f'{path}: {content}')

    def test_the_file_that_counts_is_named(self):
        key = 'vm.compaction_proactiveness'
        for files, wanted, hidden in (
            (
                {'etc/sysctl.d/10.conf': 1, 'run/sysctl.d/20.conf': 2},
                '/run/sysctl.d/20.conf',
                '10.conf',
            ),
            (
                {'etc/sysctl.d/10.conf': 1, 'usr/lib/sysctl.d/10.conf': 2},
                '/etc/sysctl.d/10.conf',
                'usr/lib',
            ),
        ):
            found = self.others(
                '[compaction]\nproactiveness = 20',
                {path: f'{key} = {value}' for path, value in files.items()},
                'comp',
            )
            self.assertThat(found, Contains(wanted))
            self.assertThat(found, Not(Contains(hidden)))

    def test_what_sets_it_not(self):
        text = '[compaction]\nproactiveness = 20'
        for path, content in (
            ('etc/sysctl.d/a.conf', '# vm.compaction_proactiveness = 0'),
            ('etc/sysctl.d/a.conf', '; vm.compaction_proactiveness = 0'),
            ('etc/sysctl.d/a.conf', 'vm.compaction_proactiveness2 = 0'),
            ('etc/sysctl.d/a.conf.bak', 'vm.compaction_proactiveness = 0'),
            (
                'etc/tmpfiles.d/a.conf',
                'f /proc/sys/vm/compaction_proactiveness - - - - 0',
            ),
        ):
            found = self.others(text, {path: content}, 'comp')
            self.assertThat(found, Equals(''), f'{path}: {content}')

    def test_one_that_cannot_be_read_does_not_hide_the_rest(self):
        self.build()
        path = 'etc/sysctl.d/10.conf'
        found = self.others(
            '[ksm]\nrun = off',
            {path: '', 'etc/sysfs.conf': 'kernel/mm/ksm/run = 1'},
            'KSM',
        )
        self.assertThat(found, Contains('/etc/sysfs.conf'))
        with open(f'{self.root}/{path}', 'wb') as stream:
            stream.write('vm.x = 1'.encode('utf-16'))
        items = configured.items(configuration.load(self.root), self.host())
        record = journal.load(self.kernel.tree())
        (row,) = status.rows(self.host(), table.KINDS, record, items)
        self.assertThat(
            ' '.join(row.others),
            MatchesAll(Contains('/etc/sysfs.conf'), Contains('10.conf')),
        )


class TestGoalsStay(LimitsTest):
    def test_what_fits_is_planned(self):
        self.build(huge_pages={2048: 0}, cells=2)
        found = self.configured(
            '[huge_pages]\npages = node:0,size:2048,count:512\n'
            'pages = node:1,size:2048,count:9000'
        )
        self.assertThat(
            [change.goal.setting.value for change in found.changes],
            Contains('512'),
        )
