"""Host-prep on a real kernel and its drivers."""

import json
from pathlib import Path
import re

from kvm_tuning.host import journal
from tests.lab import ports
from tests.lab.base import GuestTest, huge_pages
from tests.lab.host_prep import HostPrepTest, attributes, files

_WRITES = re.compile(
    r'open(?:at)?\(.*?"(.*?)".*?O_(?:WRONLY|RDWR|CREAT)|'
    r'(?:rename|unlink|mkdir)\w*\('
)

# stevedore's, of the entry points that are installed.
_CACHE = '/.cache/python-entrypoints/'


class LineTest(HostPrepTest):
    def setUp(self):
        super().setUp()
        self.configure()
        self.addCleanup(Path(self.config).unlink)

    def test_apply_status_and_undo(self):
        before = files(), attributes()
        planned = self.host('plan').document
        self.assertEqual([], planned['refusals'])
        wanted = [each['setting'] for each in planned['changes']]
        self.assertEqual(before, (files(), attributes()))

        changed = self.host('apply').document
        self.assertEqual(([], []), (changed['failed'], changed['taken_back']))
        self.assertEqual(sorted(wanted), sorted(changed['changed']))
        self.assert_all_is_as_configured()
        # systemd itself reads its affinity when it starts.
        self.assertEqual({'systemd CPUAffinity'}, {*self.states(status=1)})

        record = Path('/', journal.PATH)
        kept = record.read_bytes(), record.stat().st_mtime_ns
        self.assertEqual([], self.host('plan').document['changes'])
        again = self.host('apply').document
        self.assertEqual([], again['changed'])
        self.assertEqual(
            kept, (record.read_bytes(), record.stat().st_mtime_ns)
        )

        restored = self.host('undo').document
        self.assertEqual([], restored['failed'])
        self.assertEqual(before[0], files())
        self.assertEqual(before[1], attributes())

    def test_somebody_elses_change_is_left_alone(self):
        self.host('apply')
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
        self.assertEqual([], self.host('undo').document['failed'])

    def test_a_plan_writes_nothing(self):
        trace = self.folder / 'trace'
        self.shell(
            f'PYTHONDONTWRITEBYTECODE=1 strace -f -o {trace} -e trace=openat,'
            f'open,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat '
            f'kvm-tuning --config-file {self.config} host plan -f json'
        )
        written = [
            line
            for line in trace.read_text().splitlines()
            if _WRITES.search(line)
            and _CACHE not in line
            and '"/dev/null"' not in line
            and ' = -1 ' not in line
        ]
        self.assertEqual([], written)


class VfsTest(HostPrepTest):
    """The two ways to make VFs, on both ports."""

    def counts(self):
        return [len(ports.vfs(address)) for address in ports.PORTS]

    def test_by_sysfs(self):
        self.configure(
            '[sriov]\nvfs = 0000:41:00.0=3\n'
            f'vfs = {ports.interface(ports.PORTS[1])}=7\n'
        )
        self.host('apply')
        self.assertEqual([3, 7], self.counts())
        self.configure('[sriov]\nvfs = driver:igb=4\n')
        self.host('apply')
        self.assertEqual([4, 4], self.counts())
        self.host('undo')
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
        self.host('apply')
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
        self.host('undo')
        self.assertEqual([0, 0], self.counts())
        self.assertEqual(before, files())


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
