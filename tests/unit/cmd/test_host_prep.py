"""host plan, apply, status, undo, ready and fragment, on a tree."""

import os
import resource
import threading

import fixtures
import testtools
from testtools.matchers import (
    Contains,
    Equals,
    HasLength,
    LessThan,
    Not,
)

from kvm_tuning.cmd import host_session
from kvm_tuning.host.prep import journal
from kvm_tuning.host.prep.kinds.kind import UNIT
from tests.fixtures import fake_cards, killed, prepared, whole_host
from tests.fixtures.command import Command
from tests.fixtures.fake_host import FakePf
from tests.fixtures.fake_kernel import FakeKernel


class HostPrepTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.command = self.useFixture(Command())
        self.kernel = self.build()
        self.kernel.log.clear()
        patches = {'ROOT': self.root, 'system': lambda root: self.kernel}
        for name, value in patches.items():
            self.useFixture(
                fixtures.MonkeyPatch(f'{host_session.__name__}.{name}', value)
            )

    def build(self):
        return whole_host.build(self.root)

    def host(self, *words):
        return self.command.run('host', *words)

    def at(self, *words):
        return self.host(*words, '--root', self.root)


class TestLine(HostPrepTest):
    """Plan, apply, status, reboot, status, undo: as an operator does."""

    def states(self):
        rows = self.at('status', '-f', 'json').document
        return {row['setting']: row['state'] for row in rows}

    def reboot(self):
        grub = self.kernel.get('etc/default/grub.d/kvm-tuning.cfg')
        arguments = grub.partition('DEFAULT ')[2].rstrip('"')
        self.kernel.put('proc/cmdline', f'root=/dev/vda {arguments}')
        self.kernel.put('proc/1/status', 'Cpus_allowed_list:\t0,2')
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        self.kernel.put('sys/module/igb/parameters/max_vfs', 3)
        self.kernel.put(
            'sys/module/vhost_net/parameters/experimental_zcopytx', 0
        )
        # What no file keeps is as the kernel starts with.
        self.kernel.put('sys/kernel/mm/ksm/merge_across_nodes', 1)
        self.kernel.put('proc/sys/vm/compaction_proactiveness', 20)

    def test_whole(self):
        before = prepared.snapshot(self.root)
        plan = self.at('plan', '--detailed-exit-codes')
        self.assertThat((plan.status, plan.stderr), Equals((4, '')))
        self.assertThat(prepared.snapshot(self.root), Equals(before))
        done = self.host('apply', '--detailed-exit-codes')
        self.assertThat((done.status, done.stderr), Equals((4, '')))
        waiting = {s for s, state in self.states().items() if state == 'waits'}
        self.assertThat(
            waiting, Contains('kernel arguments in /etc/kernel/cmdline')
        )
        self.assertThat(self.at('ready').status, Equals(1))
        self.reboot()
        self.assertThat(
            self.states()['KSM merge_across_nodes'], Equals('differs')
        )
        self.assertThat(self.host('apply').status, Equals(0))
        self.assertThat(set(self.states().values()), Equals({'as wanted'}))
        self.assertThat(self.at('status').status, Equals(0))
        self.assertThat(self.at('ready').status, Equals(0))
        self.kernel.log.clear()
        again = self.host('apply', '--detailed-exit-codes')
        self.assertThat((again.status, self.kernel.log), Equals((0, [])))
        self.assertThat(self.host('undo').status, Equals(0))
        self.assertThat(
            os.path.exists(f'{self.root}/{journal.PATH}'), Equals(False)
        )
        after = prepared.snapshot(self.root)
        for path in (whole_host.ENTRY, 'boot/grub/grub.cfg'):
            self.assertThat(after[path], Equals(before[path]))
        self.assertThat(self.host('undo').status, Equals(0))

    def test_unit_makes_it_last(self):
        self.host('apply')
        rows = self.at('status', '-f', 'json').document
        row = next(r for r in rows if r['setting'] == 'THP enabled')
        self.assertThat(row['next_boot'], Equals(None))
        self.kernel.run(['systemctl', 'enable', UNIT])
        rows = self.at('status', '-f', 'json').document
        row = next(r for r in rows if r['setting'] == 'THP enabled')
        self.assertThat(
            (row['persisted'], row['next_boot']), Equals((UNIT, 'always'))
        )

    def kept(self, setting):
        rows = self.at('status', '-f', 'json').document
        return next(r['persisted'] for r in rows if r['setting'] == setting)

    def test_a_file_keeps_only_while_it_is_there(self):
        module = 'vhost_net'
        self.host('apply')
        self.assertThat(
            self.kept(module), Equals('/etc/modules-load.d/kvm-tuning.conf')
        )
        self.kernel.run(['systemctl', 'enable', UNIT])
        self.assertThat(
            self.kept(module), Equals('/etc/modules-load.d/kvm-tuning.conf')
        )
        self.host('undo')
        self.assertThat(self.kept(module), Equals(UNIT))

    def test_others_are_named(self):
        for name in ('tuned', 'irqbalance'):
            self.kernel.run(['systemctl', 'start', f'{name}.service'])
        self.kernel.put('etc/tuned/active_profile', 'mine')
        self.kernel.put('etc/tuned/mine/tuned.conf', '[main]\ninclude=base')
        self.kernel.put(
            'usr/lib/tuned/base/tuned.conf',
            '[vm]\ntransparent_hugepages=never',
        )
        rows = self.at('status', '-f', 'json').document
        others = {row['setting']: row['others'] for row in rows}
        self.assertThat(others['THP enabled'], Equals(['TuneD (mine)']))
        self.assertThat(others['KSM run'], Equals(['ksmtuned']))
        self.assertThat(
            others['affinity of interrupt 4'], Equals(['irqbalance'])
        )

    def test_dropped_from_the_configuration(self):
        self.host('apply')
        self.kernel.put(
            'etc/kvm-tuning/kvm-tuning.conf',
            whole_host.CONFIGURATION.replace('proactiveness = 0', ''),
        )
        self.assertThat(
            self.states()['compaction proactiveness'],
            Equals('no longer wanted'),
        )
        self.assertThat(
            self.at('plan', '-f', 'json').document['dropped'],
            Equals(['compaction proactiveness']),
        )
        self.assertThat(self.host('undo', '--dropped').status, Equals(0))
        path = 'proc/sys/vm/compaction_proactiveness'
        self.assertThat(self.kernel.get(path), Equals('20'))
        self.assertThat(
            self.states(), Not(Contains('compaction proactiveness'))
        )

    def test_a_reboot_has_undone_what_is_not_wanted(self):
        """As for a disk that has another name after the reboot."""
        self.host('apply')
        self.kernel.put(
            'etc/kvm-tuning/kvm-tuning.conf',
            whole_host.CONFIGURATION.replace('proactiveness = 0', ''),
        )
        self.reboot()
        self.kernel.put('proc/sys/vm/compaction_proactiveness', 20)
        self.assertThat(
            self.states(), Not(Contains('compaction proactiveness'))
        )
        self.assertThat(
            self.at('plan', '-f', 'json').document['dropped'], Equals([])
        )

    def test_undo_of_one_group(self):
        self.host('apply')
        steps = self.host('undo', 'sriov', '--dry-run', '-f', 'json').document
        self.assertThat(steps[0]['action'], Equals('restore'))
        self.host('undo', 'sriov')
        self.assertThat(self.kernel.get(fake_cards.PATH), Equals('0'))
        self.assertThat(self.states()['THP enabled'], Equals('as wanted'))
        self.assertThat(self.host('undo', 'sriov').status, Equals(2))

    def test_changed_by_somebody_else(self):
        self.host('apply')
        self.kernel.put('proc/sys/vm/compaction_proactiveness', 50)
        self.assertThat(
            self.states()['compaction proactiveness'],
            Equals('changed by others'),
        )
        done = self.host('undo')
        self.assertThat(done.status, Equals(1))
        self.assertThat(done.stdout, Contains('something else has changed'))

    def test_interrupted_is_explained(self):
        def reach(point):
            if point == 'write proc/sys/vm/compaction_proactiveness':
                os._exit(9)

        child = os.fork()
        if child == 0:
            try:
                self.kernel._reach = reach
                self.host('apply')
            finally:
                os._exit(3)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.assertThat(status, Equals(9))
        rows = self.at('status', '-f', 'json').document
        (row,) = [r for r in rows if r['state'] == 'interrupted']
        self.assertThat(row['remark'], Contains('apply or undo repairs it'))
        self.assertThat(self.host('apply').status, Equals(0))
        self.assertThat('interrupted' in self.states().values(), Equals(False))

    def test_two_at_once(self):
        handle = self.kernel.lock(journal.LOCK)
        self.addCleanup(os.close, handle)
        done = self.host('apply')
        self.assertThat(done.status, Equals(3))
        self.assertThat(done.stderr, Contains('another host apply'))

    def test_plan_says_that_apply_would_not_start(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.cmd.arguments.root', lambda _args: self.root
            )
        )
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: 0))

        def obstacles():
            before = prepared.snapshot(self.root)
            done = self.host('plan', '-f', 'json')
            self.assertEqual(before, prepared.snapshot(self.root))
            self.assertEqual(
                bool(done.document['obstacles']), done.status == 1, done
            )
            return done.document['obstacles']

        self.assertEqual([], obstacles())
        handle = self.kernel.lock(journal.LOCK)
        (said,) = obstacles()
        self.assertIn('another host apply or undo is running', said)
        self.assertIn('Apply would not start', self.host('plan').stdout)
        os.close(handle)
        self.assertEqual([], obstacles())
        # apply says the same.
        path = os.path.join(self.root, journal.LOCK)
        os.chmod(path, 0o644)
        (said,) = obstacles()
        self.assertIn('others may open', said)
        self.assertIn('others may open', self.host('apply').stderr)
        os.chmod(path, 0o600)
        config = f'{self.root}/etc/kvm-tuning/kvm-tuning.conf'
        os.chmod(config, 0o666)
        done = self.host('plan')
        self.assertIn('be owned by root', done.stdout + done.stderr)
        self.assertNotEqual(0, done.status)
        os.chmod(config, 0o644)
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: 1000))
        done = self.host('plan', '-f', 'json')
        self.assertIn('apply takes root', done.stdout + done.stderr)

    def test_one_waits_for_the_other(self):
        handle = self.kernel.lock(journal.LOCK)
        other = threading.Timer(0.2, os.close, (handle,))
        other.start()
        self.addCleanup(other.join)
        self.assertEqual(0, self.host('apply', '--wait', '60').status)

    def test_failure_is_status_three(self):
        self.kernel.pages = {'node0': 20}
        done = self.host('apply')
        self.assertThat(done.status, Equals(3))
        self.assertThat(done.stdout, Contains("wrote '64', read back '20'"))
        self.assertThat(done.stdout, Contains('Taken back'))

    def test_plan_takes_less_than_a_second(self):
        def spent():
            usage = resource.getrusage(resource.RUSAGE_SELF)
            return usage.ru_utime + usage.ru_stime

        start = spent()
        self.at('plan')
        self.assertThat(spent() - start, LessThan(1.0))


class TestWhoseConfiguration(HostPrepTest):
    def refused(self, *words):
        done = self.host(*words)
        self.assertThat(done.status, Equals(3))
        self.assertThat(done.stderr, Contains('ConfigInvalid'))
        self.assertThat(done.stderr, Contains('be owned by root'))
        self.assertThat(self.kernel.log, Equals([]))

    def test_one_that_others_may_write_to(self):
        for path in ('etc/kvm-tuning', 'etc'):
            mode = os.stat(f'{self.root}/{path}').st_mode
            os.chmod(f'{self.root}/{path}', 0o777)
            self.refused('apply')
            self.refused('undo')
            os.chmod(f'{self.root}/{path}', mode)
        self.assertThat(self.host('apply').status, Equals(0))

    def test_a_part_that_others_may_write_to(self):
        path = f'{self.root}/etc/kvm-tuning/conf.d/extra.conf'
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w'):
            os.chmod(path, 0o666)
        self.refused('apply')

    def test_what_is_another_services_is_its_own(self):
        path = f'{self.root}/etc/kvm-tuning/vendordata.conf'
        with open(path, 'w'):
            os.chmod(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        self.assertThat(self.host('apply').status, Equals(0))

    def test_one_that_is_named(self):
        path = f'{self.root}/mine.conf'
        with open(path, 'w'):
            os.chmod(path, 0o666)
        named = ('--config-file', path)
        for words in (('apply',), ('undo',)):
            done = self.command.run(*named, 'host', *words)
            self.assertThat(done.status, Equals(3))
            self.assertThat(done.stderr, Contains('writable by everybody'))
        # What changes nothing reads any.
        done = self.command.run(*named, 'host', 'plan', '--root', self.root)
        self.assertThat(done.status, Equals(0))
        os.symlink(path, f'{self.root}/link.conf')
        done = self.command.run(
            '--config-file', f'{self.root}/link.conf', 'host', 'apply'
        )
        self.assertThat(done.stderr, Contains('writable by everybody'))

    def test_a_journal_of_a_stranger(self):
        self.host('apply')
        path = f'{self.root}/{journal.PATH}'
        os.chmod(path, 0o666)
        done = self.host('undo')
        self.assertThat(done.status, Equals(3))
        self.assertThat(done.stderr, Contains('JournalFailed'))
        self.assertThat(done.stderr, Contains('everybody'))
        os.rename(path, f'{self.root}/elsewhere')
        os.symlink(f'{self.root}/elsewhere', path)
        self.assertThat(self.host('undo').stderr, Contains('link'))


class TestNothingConfigured(HostPrepTest):
    def build(self):
        return whole_host.build(self.root, '')

    def test_nothing_is_touched(self):
        done = self.host('apply')
        self.assertThat(done.status, Equals(0))
        # The lock is taken, and no more.
        self.assertThat(self.kernel.log, Equals([]))
        self.assertThat(self.at('plan').stdout, Contains('nothing is to be'))
        self.assertThat(self.at('status').stdout, Contains('nothing is conf'))
        self.assertThat(self.at('ready').status, Equals(0))
        for words in ((), ('-f', 'json'), ('-f', 'value')):
            made = self.at('fragment', *words)
            self.assertThat(made.status, Equals(0))
            self.assertThat(made.stderr, Contains('asks for nothing'))
            self.assertThat(made.stdout, Not(Contains('_set =')))
        made = self.at('fragment')
        self.assertThat(made.stdout, Contains('no CPU sets'))
        self.assertThat(made.stdout, Contains('asks for nothing'))


class TestRefusal(HostPrepTest):
    """An I350 with VFs in use, seen from another machine."""

    def build(self):
        card = FakePf('eth0', vfs=3, **fake_cards.I350)
        kernel = fake_cards.build(self.root, card)
        fake_cards.add_guest(kernel, 'web', function=2)
        kernel.put(
            'etc/kvm-tuning/kvm-tuning.conf',
            '[sriov]\nvfs = eth0=7\n[compaction]\nproactiveness = 0',
        )
        return kernel

    def test_plan_refuses_and_says_why(self):
        plan = self.at('plan')
        self.assertThat(plan.status, Equals(1))
        for words in ("the running guest 'web'", 'VF 1 (0000:11:10.2)'):
            self.assertThat(plan.stdout, Contains(words))
        document = self.at('plan', '-f', 'json').document
        change = next(
            c for c in document['changes'] if c['concern'] == 'sriov'
        )
        self.assertThat(change['guests'], Equals(['web']))
        self.assertThat(change['refused'], HasLength(1))

    def test_apply_stops_before_the_first_write(self):
        self.assertThat(self.host('apply').status, Equals(1))
        self.assertThat(self.kernel.log, Equals([]))

    def test_keep_going_makes_the_rest(self):
        self.assertThat(self.host('apply', '--keep-going').status, Equals(1))
        path = 'proc/sys/vm/compaction_proactiveness'
        self.assertThat(self.kernel.get(path), Equals('0'))
        self.assertThat(self.kernel.get(fake_cards.PATH), Equals('3'))

    def test_wait_ends(self):
        self.kernel.put(
            'etc/kvm-tuning/kvm-tuning.conf', '[sriov]\nvfs = eth9=7'
        )
        done = self.host('apply', '--wait', '0.1')
        self.assertThat(done.status, Equals(1))
        self.assertThat(done.stdout, Contains('there is no such port'))


class TestFragment(HostPrepTest):
    def test_what_is_really_there(self):
        self.host('apply')
        made = self.at('fragment').stdout
        for line in (
            'cpu_dedicated_set = 1,3',
            'cpu_shared_set = 0,2',
            'device_spec = {"vendor_id": "8086", "product_id": "10ca", '
            '"address": "0000:11:00.0"}',
            '"device_type": "type-VF", "name": "vf-igb-10ca"}',
            '"device_type": "type-VF", "name": "kvm-tuning-vf"}',
        ):
            self.assertThat(made, Contains(line))
        self.assertThat(made.count('device_spec'), Equals(2))
        self.assertThat(made.count('alias'), Equals(2))

    def test_as_json(self):
        self.kernel.put(
            'etc/kvm-tuning/kvm-tuning.conf',
            whole_host.CONFIGURATION + '[placement]\nreserved_huge_pages = '
            'node:0,size:2048,count:4\ndedicated_cpus = 3\n',
        )
        options = self.at('fragment', '-f', 'json').document['options']
        self.assertThat(
            options['DEFAULT']['reserved_huge_pages'],
            Equals(['node:0,size:2048,count:4']),
        )
        self.assertThat(options['compute']['cpu_dedicated_set'], Equals(['1']))

    def test_no_set_is_empty(self):
        for text, words in (
            ('[cpu_isolation]\nhousekeeping_cpus = 0-3',
             'housekeeping_cpus = 0-3: they are all CPUs of the host'),
            ('[cpu_isolation]\nhousekeeping_cpus = 0-7',
             'housekeeping_cpus = 0-7: they are all CPUs of the host'),
            ('[cpu_isolation]\nhousekeeping_cpus = 8,9',
             'leaves cpu_shared_set empty; online are 0-3'),
            ('[cpu_isolation]\nhousekeeping_cpus = 0,2\n'
             '[placement]\ndedicated_cpus = 1,3',
             '[placement] dedicated_cpus = 1,3: together they are all CPUs'),
        ):  # fmt: skip
            self.kernel.put('etc/kvm-tuning/kvm-tuning.conf', text)
            for form in ('table', 'json', 'value'):
                made = self.at('fragment', '-f', form)
                self.assertThat((made.status, made.stdout), Equals((3, '')))
                self.assertThat(made.stderr, Contains('ConfigInvalid'))
                self.assertThat(made.stderr, Contains(words))


class TestBadConfiguration(HostPrepTest):
    def test_one_message(self):
        for text, words in (
            ('[sriov]\nvfs = eth0', 'want a port and a number'),
            ('[sriov]\nvfs = a=1\nvfs = a=2', 'two numbers'),
            ('[sriov]\nallow = all', 'allow'),
            ('[ksm]\nrun = maybe', 'run'),
            ('[compaction]\nproactiveness = 101', 'proactiveness'),
            ('[huge_pages]\npages = node:0,size:2048', 'node, size and count'),
            ('[block_scheduler]\nssd = fast', 'want one of'),
            ('[block_scheduler]\ndisk = sda', 'want a disk and a scheduler'),
            ('[cpu_isolation]\nhousekeeping_cpus = x', 'CPU list'),
            ('[cpu_isolation]\nhousekeeping_cpus = ', 'is empty'),
        ):
            self.kernel.put('etc/kvm-tuning/kvm-tuning.conf', text)
            done = self.at('plan')
            self.assertThat(done.status, Equals(3), text)
            self.assertThat(done.stderr, Contains(words))
            self.assertThat(done.stderr, Not(Contains('Traceback')))

    def test_all_housekeeping_is_refused(self):
        self.kernel.put(
            'etc/kvm-tuning/kvm-tuning.conf',
            '[cpu_isolation]\nhousekeeping_cpus = 0-3',
        )
        done = self.at('plan')
        self.assertThat(done.status, Equals(1))
        self.assertThat(done.stdout, Contains('none is\n  left'))


class TestSystem(testtools.TestCase):
    """The port to the host, as it is."""

    def test_commands_stay_with_this_machine(self):
        root = self.useFixture(fixtures.TempDir()).path
        system = host_session.system(root)
        error = self.assertRaises(OSError, system.run, ['true'])
        self.assertThat(str(error), Contains('a root other than'))
        self.assertThat(isinstance(system, FakeKernel), Equals(False))
