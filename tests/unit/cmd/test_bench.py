"""Measuring from the command line, with results of made-up runs."""

import contextlib
import importlib.util
import json
import os

import fixtures
from lxml import html
import testtools
from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.core.bench import memory
from kvm_tuning.core.exceptions import LibvirtFailed
from kvm_tuning.core.ledger import Claim, Ledger
from tests.fixtures.domain_store import DomainStore
from tests.fixtures.fake_host import FakeHost
from tests.unit.cmd.base import CommandTest

MATPLOTLIB = importlib.util.find_spec('matplotlib') is not None


def run(seconds, local=1.0, hypervisor='', checksum='0' * 16):
    counts = memory.Counts(local, 2, 100, 0.5, 0, None, 3)
    return memory.Run(counts, checksum, int(seconds * 1e9), hypervisor)


class BenchTest(CommandTest):
    """Two cells of two cores; libvirt does not answer."""

    hypervisor = ''
    #: What an arm takes, by the first letters of its name.
    seconds = ('pCPUs 0-1', 1.0), ('pCPUs 0,2', 2.0)

    def setUp(self):
        super().setUp()
        host = FakeHost(cells=2, l3_per_cell=1, cores=2, threads=1)
        self.ran = []
        self.held = None
        for name, stand_in in (
            ('kvm_tuning.host.inventory.reader.read',
             lambda *_words, **_more: host.inventory()),
            ('kvm_tuning.host.bench.program.built', lambda name: name),
            ('kvm_tuning.host.bench.memory.run', self.run_program),
            ('os.sched_getaffinity', lambda _pid: set(range(4))),
            ('kvm_tuning.adapters.connection.open', self.no_libvirt),
        ):  # fmt: skip
            self.useFixture(fixtures.MonkeyPatch(name, stand_in))
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '100'))

    def no_libvirt(self, *_words, **_more):
        raise LibvirtFailed('libvirt is not there')

    def run_program(self, path, arm, size_mib, blocks):
        self.ran.append(arm.name)
        (seconds,) = (s for n, s in self.seconds if arm.name.startswith(n))
        local = 1.0 if 'unbound' in arm.name else 0.5
        return run(seconds, local, self.hypervisor)

    def bench(self, *words, status=0):
        config = self.write('c.conf', '')
        done = self.run_command(
            '--config-file', config, 'bench', 'memory', '--size', '1', *words
        )  # fmt: skip
        self.assertThat(done.status, Equals(status), done)
        return done


class MemoryTest(BenchTest):
    def test_dry_run_runs_nothing(self):
        done = self.bench('--dry-run')
        self.assertThat(self.ran, Equals([]))
        for part in (
            'pCPUs 0-1, memory bound',
            'one NUMA cell is compared with two',
            '60 s',
            'libvirt is not there',
        ):
            self.assertThat(done.stdout, Contains(part))

    def test_arms_take_turns(self):
        self.bench('--rounds', '2', '--memory', 'unbound')
        one, two = 'pCPUs 0-1, memory unbound', 'pCPUs 0,2, memory unbound'
        self.assertThat(self.ran, Equals([one, two, one, two]))

    def test_result(self):
        found = self.bench('-f', 'json').document
        self.assertThat(found['format'], Equals(1))
        self.assertThat(found['parameters']['rounds'], Equals(5))
        self.assertThat(found['rounds'], HasLength(20))
        self.assertThat(found['machine']['cells'], Equals(2))
        self.assertThat(found['rounds'][0]['ns'], Equals(1_000_000_000))

    def test_table(self):
        text = self.bench('--memory', 'unbound').stdout
        for part in (
            'local reads         100 %',
            'slept               unknown',
            'B takes 2.00 times as long as A (2.00 to 2.00 in 5 rounds)',
        ):
            self.assertThat(text, Contains(part))

    def test_few_rounds_show_no_difference(self):
        text = self.bench('--memory', 'unbound', '--rounds', '4').stdout
        self.assertThat(text, Contains('B: no difference shown'))

    def test_no_round_ends_late(self):
        clock = iter(range(0, 10000, 50))
        self.useFixture(
            fixtures.MonkeyPatch('time.monotonic', lambda: next(clock))
        )
        found = self.bench('-f', 'json', '--minutes', '3').document
        # At 0, rounds of 50 s; the third would end after 250 s.
        self.assertThat(found['parameters']['rounds'], Equals(2))

    def test_named_pcpus(self):
        self.bench('--cpus', '0-1', '--memory', 'bound', '--rounds', '1')
        self.assertThat(self.ran, Equals(['pCPUs 0-1, memory bound']))

    def test_pcpus_that_cannot_be_used(self):
        for text, why in (
            ('0,7', 'pCPUs 7 are not online'),
            ('x', 'x'),
            ('', 'names no pCPU'),
        ):
            done = self.bench('--cpus', text, status=2)
            self.assertThat(done.stderr, Contains(why))
        self.useFixture(
            fixtures.MonkeyPatch('os.sched_getaffinity', lambda _pid: {0})
        )
        done = self.bench('--cpus', '0-1', status=2)
        self.assertThat(done.stderr, Contains('may not be used'))
        self.assertThat(self.ran, Equals([]))

    def test_guests_keep_their_pcpus(self):
        ledger = Ledger((Claim('u', 'web1', frozenset({0, 1})),))
        store = DomainStore(self.folder)
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.connection.open',
                lambda *_words, **_more: contextlib.nullcontext(store),
            )
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.standalone.claimed',
                lambda *_words: ledger,
            )
        )
        done = self.bench('--cpus', '1-2', status=2)
        self.assertThat(done.stderr, Contains('pCPUs 1 belong to guests'))
        done = self.bench('--dry-run')
        self.assertThat(done.stdout, Contains('pCPUs 2-3'))
        self.assertThat(done.stdout, Not(Contains('pCPUs 0')))

    def test_not_enough_memory(self):
        done = self.bench('--size', str(1 << 30), status=3)
        self.assertThat(done.stderr, Contains('BenchFailed: --size'))
        self.assertThat(self.ran, Equals([]))

    def test_a_file_that_cannot_be_written_is_found_before(self):
        for option in ('--output', '--html'):
            done = self.bench(option, '/no/such/file', status=2)
            self.assertThat(done.stderr, Contains(f'{option} /no/such/file'))
        self.assertThat(self.ran, Equals([]))

    def test_wrong_numbers(self):
        for words in (('--rounds', '0'), ('--size', '-1'), ('--blocks', 'x')):
            self.bench(*words, status=2)


class EmulatedTest(BenchTest):
    hypervisor = memory.TCG

    def test_no_times_anywhere(self):
        text = self.bench().stdout
        self.assertThat(text, Contains('Times are left out'))
        self.assertThat(text, Not(Contains('MiB/s')))
        document = self.bench('-f', 'json').stdout
        self.assertThat(document, Not(Contains('"ns"')))


class DifferentDataTest(BenchTest):
    def run_program(self, path, arm, size_mib, blocks):
        self.ran.append(arm.name)
        return run(1, checksum=f'{len(self.ran):016x}')

    def test_is_an_error(self):
        done = self.bench('--rounds', '1', status=3)
        self.assertThat(done.stderr, Contains('different data'))


class ReportTest(BenchTest):
    def setUp(self):
        super().setUp()
        self.paths = []
        for name, size in (('a.json', '1'), ('b.json', '2')):
            self.paths.append(os.path.join(self.folder, name))
            self.bench('--output', self.paths[-1], '--size', size)

    def show(self, *words, status=0):
        done = self.run_command('bench', 'report', *words)
        self.assertThat(done.status, Equals(status), done)
        return done

    def test_what_differs(self):
        text = self.show(*self.paths).stdout
        # When they were made differs, too, or not.
        rows = [line.split() for line in text.splitlines()]
        self.assertThat(rows, Contains(['size', 'mib', '1', '2']))
        self.assertThat(text, Not(Contains('page size')))
        self.assertThat(text, Contains('Counts of b.json'))

    def test_one_file(self):
        self.assertThat(
            self.show(self.paths[0], '-f', 'json').document['format'],
            Equals(1),
        )

    def test_what_is_not_a_result(self):
        with open(self.paths[0]) as file:
            result = json.load(file)
        for wrong in (
            '', '[]', '{}', '"x"', '[' * 5000,
            json.dumps({**result, 'format': 2}),
            json.dumps({**result, 'arms': []}),
            json.dumps({**result, 'rounds': [{'arm': 'x'}]}),
            json.dumps({**result, 'machine': 5}),
        ):  # fmt: skip
            path = self.write('wrong.json', wrong)
            done = self.show(path, status=2)
            self.assertThat(done.stderr, Contains('is not a result'))

    @testtools.skipUnless(MATPLOTLIB, 'matplotlib is not installed')
    def test_page(self):
        path = os.path.join(self.folder, 'page.html')
        self.show(*self.paths, '--html', path)
        with open(path) as file:
            text = file.read()
        # Shares of reads and pages, and times, of each file.
        self.assertThat(text.count('<svg'), Equals(6))
        for outside in ('src=', '<link', '@import', 'url(http'):
            self.assertThat(text, Not(Contains(outside)))

    def test_page_but_for_what_is_drawn(self):
        for name, value in (
            ('_figure', lambda: None),
            ('_plots', lambda _result: ['<figure/>']),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'kvm_tuning.cmd.bench_page.{name}', value
                )
            )
        path = os.path.join(self.folder, 'page.html')
        self.show(*self.paths, '--html', path)
        with open(path) as file:
            page = html.fromstring(file.read())
        self.assertThat(len(page.xpath('//figure')), Equals(2))
        told = self.show(*self.paths).stdout
        titles = [each.text for each in page.xpath('//h2')]
        # The machines come last
        self.assertThat(titles[-1], Equals('Machines: what differs'))
        self.assertThat(titles, Contains('Counts of b.json'))
        for title in titles:
            self.assertThat(told, Contains(title))
        for row in page.xpath('//tr'):
            for cell in row.xpath('th|td'):
                self.assertThat(told, Contains(cell.text_content()))
        results = json.loads(page.xpath('//pre')[0].text)
        with open(self.paths[1]) as file:
            self.assertThat(
                results[1]['arms'], Equals(json.load(file)['arms'])
            )

    @testtools.skipIf(MATPLOTLIB, 'matplotlib is installed')
    def test_page_without_matplotlib(self):
        path = os.path.join(self.folder, 'page.html')
        done = self.show(*self.paths, '--html', path, status=3)
        self.assertThat(done.stderr, Contains('kvm-tuning[bench]'))
