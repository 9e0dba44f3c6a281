"""``guest assess`` as people and programs see it."""

import csv
import io
import os

import fixtures

from kvm_tuning.cmd import guest_assess
from kvm_tuning.core.assess.codes import CODES
from tests.fixtures import memory_dir
from tests.fixtures.assessed_guest import HOST, AssessedGuest
from tests.unit.cmd.base import CommandTest

XML = """\
<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><vcpu>2</vcpu>
<memory unit='MiB'>64</memory><cputune><vcpupin vcpu='0' cpuset='{pins[0]}'/>
<vcpupin vcpu='1' cpuset='{pins[1]}'/></cputune><devices>
<disk type='file' device='disk'><driver name='qemu' cache='unsafe'/>
<source file='/x'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
"""


class GuestAssessTest(CommandTest):
    def setUp(self):
        super().setUp()
        place = memory_dir.place()
        self.root = self.useFixture(fixtures.TempDir(place)).path
        HOST.write(self.root)

    def assess(self, *argv):
        return self.run_command('guest', 'assess', '--root', self.root, *argv)

    def domains(self, **files):
        folder = os.path.join(self.folder, 'xml')
        os.makedirs(folder, exist_ok=True)
        for name, text in files.items():
            with open(os.path.join(folder, f'{name}.xml'), 'w') as file:
                file.write(text)
        return folder

    def test_people(self):
        AssessedGuest('fine').write(self.root)
        AssessedGuest(
            'bad', 2000, ('0', '16', '8', '24'), swapped_kib=1 << 20
        ).write(self.root)
        found = self.assess()
        self.assertEqual(1, found.status)
        lines = found.stdout.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        # The worst guest, and its worst finding, first.
        self.assertEqual(
            ['bad', '2000', '4', '4096', 'error', '2'], lines[2].split()[:6]
        )
        worst = lines[lines.index('Guest bad') + 1]
        self.assertTrue(worst.startswith('- error pcpu-shared: '), worst)
        self.assertIn('    change: hw:cpu_policy=dedicated', found.stdout)
        self.assertIn('0 of 2 guests without a finding', lines[-1])

    def test_nothing_found(self):
        AssessedGuest('fine').write(self.root)
        found = self.assess()
        self.assertEqual(0, found.status)
        self.assertIn('nothing found', found.stdout)
        self.assertEqual((0, ''), (found.status, found.stderr))

    def test_no_guest(self):
        found = self.assess()
        self.assertEqual((0, 'no guest runs\n'), (found.status, found.stdout))

    def test_programs(self):
        AssessedGuest('one', emulator='0', iothread='9').write(self.root)
        (guest,) = self.assess('-f', 'json').document['guests']
        self.assertEqual(
            ('one', 1000, 4, 4096),
            tuple(guest[k] for k in ('guest', 'pid', 'vcpus', 'memory_mib')),
        )
        found = {each['code']: each for each in guest['findings']}
        self.assertEqual([0], found['emulator-on-vcpus']['pcpus'])
        self.assertEqual([1], found['iothread-remote']['cells'])
        self.assertEqual(
            'reference/assessments#iothread-remote',
            found['iothread-remote']['page'],
        )
        self.assertEqual(CODES['iothread-remote'].cost,
                         found['iothread-remote']['cost'])  # fmt: skip
        self.assertEqual('unknown', found['foreign-threads']['severity'])
        rows = list(
            csv.DictReader(io.StringIO(self.assess('-f', 'csv').stdout))
        )
        self.assertEqual(
            [each['code'] for each in guest['findings']],
            [row['code'] for row in rows],
        )

    def test_exit_status(self):
        AssessedGuest(drive={'aio': 'threads'}).write(self.root)
        for level, status in (('error', 0), ('warning', 0), ('info', 1)):
            self.assertEqual(status, self.assess('--fail-on', level).status)

    def test_documents_alone(self):
        second = XML.format(name='b', uuid='2' * 8, pins=(1, 2))
        folder = self.domains(
            a=XML.format(name='a', uuid='1' * 8, pins=(0, 8)),
            b=f"<domstatus state='running'>{second}</domstatus>",
            bad='<network/>',
        )
        found = self.assess('--domains', folder, '-f', 'json')
        guests = {each['guest']: each for each in found.document['guests']}
        self.assertEqual({'a', 'b'}, set(guests))
        self.assertIn('bad.xml is left out: want a <domain>', found.stderr)
        codes = {
            name: {f['code'] for f in each['findings']
                   if f['severity'] != 'unknown'}
            for name, each in guests.items()
        }  # fmt: skip
        self.assertIn('cell-span', codes['a'])
        self.assertNotIn('cell-span', codes['b'])
        self.assertIn('disk-unsafe', codes['b'])

    def test_watching(self):
        guest = AssessedGuest('one')
        guest.write(self.root)
        rounds = []

        def pause(_seconds):
            rounds.append(1)
            AssessedGuest('one', drive={'aio': 'threads'}).write(self.root)
            if len(rounds) == 2:
                raise KeyboardInterrupt

        self.patch(guest_assess.time, 'sleep', pause)
        found = self.assess('--watch')
        self.assertEqual((0, ''), (found.status, found.stderr))
        first, second = found.stdout.split('findings\n')[1:]
        self.assertIn('nothing found', first)
        self.assertIn('disk-engine', second)
        # What is wrong is said once.
        self.assertEqual(2, self.assess('--watch', 'nobody').status)
        self.assertEqual(2, len(rounds))

    def test_wrong_usage(self):
        for argv, said in (
            (('nobody',), 'nobody'),
            (('--domains', '/nowhere'), '/nowhere'),
            (('--seconds', '-1'), "not '-1'"),
            (('--seconds', 'nan'), "not 'nan'"),
        ):
            found = self.assess(*argv)
            self.assertEqual(2, found.status, argv)
            self.assertIn(said, found.stderr)

    def test_names_that_a_terminal_would_obey(self):
        AssessedGuest('x\x1b[31my').write(self.root)
        found = self.assess()
        self.assertNotIn('\x1b', found.stdout)
