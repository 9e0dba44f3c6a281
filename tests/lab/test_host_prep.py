"""Host-prep on a real kernel and its drivers."""

import json
from pathlib import Path
import subprocess
import sys

from kvm_tuning.core import cpuset
from tests.lab import ports
from tests.lab.base import GuestTest, huge_pages
from tests.lab.host_prep import HostPrepTest, attributes, files
from tests.lab.trace import CACHE, TraceTest

#: Of ``host plan``: seconds of CPU on a processor that is none of TCG's, and
#: everywhere in what it takes to import what it is built on.
MOST_SECONDS = 1.0
MOST_TIMES = 6
_FRAMES = 'import cliff.app, oslo_config.cfg'


class LineTest(TraceTest, HostPrepTest):
    def setUp(self):
        super().setUp()
        self.configure()

    def test_apply_status_and_undo(self):
        before = files(), attributes()
        planned = self.host('plan').document
        self.assertEqual([], planned['refusals'])
        wanted = [each['setting'] for each in planned['changes']]

        self.assertEqual(sorted(wanted), sorted(self.applied()))
        self.assert_all_is_as_configured()
        # systemd reads its affinity when it starts, vhost_net its option.
        self.assertEqual(
            {'systemd CPUAffinity', 'modprobe option '
             'vhost_net.experimental_zcopytx'},
            {*self.states(status=1)},
        )  # fmt: skip

        self._a_second_apply_writes_nothing()

        self.assertEqual(len(wanted), len(self.undone()))
        self.assert_same(before[0], files())
        self.assert_same(before[1], attributes())

    def _a_second_apply_writes_nothing(self):
        applied = files(times=True), attributes()
        self.assertEqual([], self.host('plan').document['changes'])
        changes = self.changes(
            'kvm-tuning', '--config-file', self.config, 'host', 'apply'
        )
        self.assertEqual(
            [],
            [
                each
                for each in changes
                if CACHE not in each and '"lock"' not in each
            ],
        )
        self.assert_same(applied[0], files(times=True))
        self.assert_same(applied[1], attributes())

    def test_a_plan_writes_nothing(self):
        before = files(times=True), attributes()
        changes = self.changes(
            'kvm-tuning', '--config-file', self.config, 'host', 'plan'
        )
        self.assertEqual([], [each for each in changes if CACHE not in each])
        self.assert_same(before[0], files(times=True))
        self.assert_same(before[1], attributes())

    def test_a_plan_takes_little_time(self):
        command = (
            'kvm-tuning', '--config-file', self.config, 'host', 'plan',
        )  # fmt: skip
        frames = (sys.executable, '-c', _FRAMES)
        taken, least = (self.cpu_seconds(*argv) for argv in (command, frames))
        print(
            f'host plan: {taken:.2f} s of CPU, {least:.2f} of them for cliff '
            f'and oslo.config',
            file=sys.stderr,
            flush=True,
        )
        self.assertLess(taken, MOST_TIMES * least)
        # It says qemu under emulation, kvm where the lab runs with KVM.
        kind = subprocess.run(
            ['systemd-detect-virt', '--vm'], capture_output=True, text=True
        )
        if kind.stdout.strip() != 'qemu':
            self.assertLess(taken, MOST_SECONDS)

    def test_somebody_elses_change_is_left_alone(self):
        self.applied()
        file = Path('/sys/kernel/mm/transparent_hugepage/enabled')
        self.addCleanup(file.write_text, 'always')
        file.write_text('never')
        self.assertEqual(
            ('madvise', 'never'), self.states(status=1)['THP enabled'][:2]
        )
        restored = self.host('undo', status=1).document
        self.assertEqual(1, len(restored['failed']), restored)
        self.assertIn('THP enabled', restored['failed'][0])
        self.assertIn('[never]', file.read_text())
        file.write_text('madvise')
        self.undone()


class VfsTest(HostPrepTest):
    """The two ways to make VFs, on both ports."""

    def counts(self):
        return [len(ports.vfs(address)) for address in ports.PORTS]

    def test_by_sysfs(self):
        self.configure(
            '[sriov]\nvfs = 0000:41:00.0=3\n'
            f'vfs = {ports.interface(ports.PORTS[1])}=7\n'
        )
        self.applied()
        self.assertEqual([3, 7], self.counts())
        self.configure('[sriov]\nvfs = driver:igb=4\n')
        self.applied()
        self.assertEqual([4, 4], self.counts())
        self.undone()
        self.assertEqual([0, 0], self.counts())

    def test_more_than_the_card_has_are_refused(self):
        self.configure('[sriov]\nvfs = driver:igb=8\n')
        refused = self.host('plan', status=1).document['refusals']
        self.assertEqual(2, len(refused))
        self.assertIn('7', refused[0])
        self.assertEqual([0, 0], self.counts())

    def test_by_max_vfs(self):
        before = files()
        self.configure(
            '[sriov]\nvfs = driver:igb=7\nmethod = max_vfs\nreload = true\n'
        )
        self.applied()
        self.assertEqual([7, 7], self.counts())
        self.assertIn(
            'options igb max_vfs=7',
            self.shell('cat /etc/modprobe.d/*.conf'),
        )
        self.assertEqual(
            '7', Path('/sys/module/igb/parameters/max_vfs').read_text().strip()
        )
        # What is there when the driver comes anew.
        self.shell('modprobe -r igb && modprobe igb && udevadm settle')
        self.assertEqual([7, 7], self.counts())
        self.assertEqual({}, self.states())
        self.undone()
        self.assertEqual([0, 0], self.counts())
        self.assert_same(before, files())


class OthersTest(HostPrepTest):
    """What the configuration of the other tests leaves out."""

    def test_interrupts(self):
        self.configure(
            '[cpu_isolation]\nhousekeeping_cpus = 0-1,4-5\nisolate_by =\n'
            'systemd_affinity = false\n'
        )
        own = cpuset.parse('0-1,4-5')
        before = self.interrupts()
        default = Path('/proc/irq/default_smp_affinity')
        mask = default.read_text()
        self.applied()
        self.assertEqual(own, cpuset.parse_mask(default.read_text().strip()))
        # Those that the kernel manages itself are told.
        kept = {
            row['setting']: row['state']
            for row in self.host('status').document
        }
        for number, cpus in self.interrupts().items():
            state = kept.get(f'affinity of interrupt {number}', 'as wanted')
            if state == 'as wanted':
                self.assertTrue(cpus <= own, (number, cpus))
            else:
                self.assertEqual('not possible', state)
                self.assertEqual(before[number], cpus)
        self.assertIn('as wanted', kept.values())
        self.undone()
        self.assertEqual(mask, default.read_text())
        self.assertEqual(before, self.interrupts())

    @staticmethod
    def interrupts():
        return {
            int(path.parent.name): cpuset.parse(path.read_text().strip())
            for path in Path('/proc/irq').glob('*/smp_affinity_list')
        }

    def test_a_disk_that_comes_later(self):
        (disk,) = (
            each
            for each in Path('/sys/block').glob('sd?')
            if (each / 'queue/rotational').read_text().strip() == '1'
        )
        scheduler = disk / 'queue/scheduler'
        before = scheduler.read_text()
        self.configure(
            f'[block_scheduler]\nrotational = bfq\ndisk = {disk.name}=kyber\n'
        )
        self.applied()
        self.assertIn('[kyber]', scheduler.read_text())
        (host,) = {
            part for part in disk.resolve().parts if part.startswith('host')
        }
        (disk / 'device/delete').write_text('1')
        # The disk is probed after the scan, and its rule comes after that.
        self.shell(
            f'udevadm settle; echo - - - >/sys/class/scsi_host/{host}/scan; '
            f'for try in $(seq 300); do '
            f'grep -qF "[kyber]" {scheduler} && exit; sleep 0.1; done; '
            f'cat {scheduler}; udevadm info {disk}; exit 1'
        )
        self.assertEqual({}, self.states())
        self.undone()
        self.assertEqual(before.count('['), 1)
        self.assertIn(before[before.index('['):].split()[0],
                      scheduler.read_text())  # fmt: skip

    def test_vhost_net_is_loaded(self):
        self.shell('modprobe -r vhost_net')
        self.configure('[kvm_modules]\nvhost_net = true\n')
        self.applied()
        self.assertTrue(Path('/sys/module/vhost_net').exists())
        self.assertIn(
            'vhost_net', self.shell('cat /etc/modules-load.d/kvm-tuning.conf')
        )
        self.undone()
        self.assertFalse(Path('/etc/modules-load.d/kvm-tuning.conf').exists())
        self.shell('modprobe vhost_net')

    def test_ksm_is_parted_first(self):
        ksm = Path('/sys/kernel/mm/ksm')
        before = {
            name: (ksm / name).read_text()
            for name in ('run', 'merge_across_nodes')
        }
        self.configure('[ksm]\nrun = on\nmerge_across_nodes = true\n')
        self.host('apply')
        self.configure('[ksm]\nrun = on\nmerge_across_nodes = false\n')
        self.applied()
        self.assertEqual('0', (ksm / 'merge_across_nodes').read_text().strip())
        self.assertEqual('1', (ksm / 'run').read_text().strip())
        self.undone()
        self.assertEqual(
            before, {name: (ksm / name).read_text() for name in before}
        )


class GuestWithVfTest(GuestTest, HostPrepTest):
    def test_a_vf_of_a_running_guest_is_never_taken_away(self):
        huge_pages(self, 160)
        self.useFixture(ports.Vfs(4))
        guest = self.make()
        flavor = self.flavor(
            hw__cpu_policy='dedicated', hw__mem_page_size=2048, kvm__vfs=1
        )
        self.guest('tune', guest.name, '--flavor', flavor)
        self.start(guest, wait=False)
        self.config = self.write('host.conf', '[sriov]\nvfs = driver:igb=2\n')
        refused = self.host('apply', status=1).document
        self.assertEqual([], refused['changed'])
        self.assertIn(guest.name, json.dumps(refused['failed']))
        self.assertEqual(
            [4, 4], [len(ports.vfs(address)) for address in ports.PORTS]
        )
