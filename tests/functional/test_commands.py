"""The guest commands on a real libvirtd and QEMU."""

import json
import os
import subprocess
import sys

import fixtures
import testtools

from kvm_tuning.core import cpuset, domain
from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest
from tests.fixtures.command import Command

_MAIN = 'import sys; from kvm_tuning.cmd.main import main; sys.exit(main())'


class GuestTest(testtools.TestCase):
    """One dedicated pCPU: the highest."""

    def setUp(self):
        super().setUp()
        self.libvirt = self.useFixture(tiny_guest.Libvirt())
        online = reader.read(devices=False).online
        if len(online) < 2:
            self.skipTest('a dedicated pCPU beside a shared one needs two')
        self.pcpu, self.shared = max(online), min(online)
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.config = self.write(
            'c.conf',
            f'[placement]\ndedicated_cpus = {self.pcpu}\n'
            f'shared_cpus = {cpuset.format(online - {self.pcpu})}\n'
            f'[libvirt]\nlock_path = {self.folder}\n',
        )
        self.flavor = self.write(
            'flavor.json',
            json.dumps(
                {
                    'name': 'tiny.dedicated',
                    'id': '1',
                    'vcpus': 1,
                    'ram': 256,
                    'disk': 1,
                    'properties': {
                        'hw:cpu_policy': 'dedicated',
                        'kvm:emulator_cpus': 'housekeeping',
                        'kvm:iothreads': '1',
                        'kvm:iothread_cpus': 'housekeeping',
                        'kvm:disk_cache': 'none',
                        'kvm:disk_io': 'native',
                        'kvm:page_sharing': 'false',
                    },
                }
            ),
        )
        self.command = self.useFixture(Command())

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def make(self, edit=None):
        return self.useFixture(
            tiny_guest.TinyGuest(self.libvirt.connection, edit=edit)
        )

    def guest(self, verb, *argv, status=0):
        done = self.command.run(
            '--config-file', self.config, 'guest', verb, *argv, '-f', 'json'
        )
        self.assertEqual(status, done.status, done)
        return done

    def audit(self, name, status=0):
        done = self.guest('audit', name, status=status)
        (audited,) = done.document['guests']
        return {
            each['address']: each['found']
            for each in audited['findings']
            if each['severity'] in ('error', 'warning', 'unknown')
        }

    def start(self, guest):
        done = self.command.run(
            '--config-file', self.config, 'guest', 'start', guest.name
        )
        self.assertEqual(0, done.status, done)

    def affinity(self, guest):
        """Return where the kernel lets vCPU 0 run."""
        _info, maps = guest.domain.vcpus()
        return {cpu for cpu, is_set in enumerate(maps[0]) if is_set}


class LineTest(GuestTest):
    def test_from_a_flavor_to_an_audited_guest_and_back(self):
        guest = self.make()
        before = guest.domain.XMLDesc(2)
        tune = (guest.name, '--flavor', self.flavor)
        self.assertTrue(self.guest('tune', *tune).document['changed'])
        self.assertFalse(self.guest('tune', *tune).document['changed'])

        self.start(guest)
        guest.wait_until_ready()
        self.assertEqual({}, self.audit(guest.name))
        self.assertEqual({self.pcpu}, self.affinity(guest))

        # A vCPU that somebody moves is caught, and brought back.
        guest.domain.pinVcpu(0, tuple(c == self.shared for c in range(64)))
        broken = self.audit(guest.name, status=1)
        self.assertIn("cputune/vcpupin[@vcpu='0']/@cpuset", broken)
        (move,) = self.guest('repin', guest.name).document['moves']
        self.assertEqual(
            {'thread': 'vCPU 0', 'from': str(self.shared),
             'to': str(self.pcpu)},
            move,
        )  # fmt: skip
        self.assertEqual({self.pcpu}, self.affinity(guest))
        self.assertEqual({}, self.audit(guest.name))
        live = domain.read(guest.domain.XMLDesc())
        self.assertEqual({self.pcpu}, live.receipt.claim.pcpus)

        undone = self.guest('undo', guest.name).document
        self.assertIn(
            'memoryBacking/nosharepages',
            [each['address'] for each in undone['pending']],
        )
        self.assertEqual(before, guest.domain.XMLDesc(2))


class LedgerTest(GuestTest):
    def tune(self, guest, status=0):
        return self.guest(
            'tune', guest.name, '--flavor', self.flavor, status=status
        )

    def test_a_guest_that_was_pinned_by_hand_keeps_its_pcpu(self):
        def pin(xml):
            return xml.replace(
                '<devices>',
                f"<cputune><vcpupin vcpu='0' cpuset='{self.pcpu}'/>"
                '</cputune><devices>',
            )

        other = self.make(pin)
        guest = self.make()
        refused = self.tune(guest, status=1)
        self.assertIn('Exhausted: ', refused.stderr)
        other.domain.create()
        self.tune(guest, status=1)
        listed = self.guest('list').document
        (row,) = [each for each in listed if each['guest'] == other.name]
        self.assertEqual(str(self.pcpu), row['pCPUs'])

    def test_a_vcpu_that_was_moved_by_hand_holds_where_it_is(self):
        other = self.make()
        other.domain.create()
        guest = self.make()
        self.tune(guest)
        other.domain.pinVcpu(0, tuple(c == self.pcpu for c in range(64)))
        done = self.command.run(
            '--config-file', self.config, 'guest', 'start', guest.name
        )
        self.assertEqual(1, done.status)
        self.assertIn(f'{other.name!r} holds', done.stderr)

    def test_two_processes_give_it_to_one_guest(self):
        guests = [self.make(), self.make()]
        processes = [
            subprocess.Popen(
                [
                    sys.executable, '-c', _MAIN,
                    '--config-file', self.config,
                    'guest', 'tune', guest.name, '--flavor', self.flavor,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for guest in guests
        ]  # fmt: skip
        statuses = [process.wait(120) for process in processes]
        self.assertEqual([0, 1], sorted(statuses))
        pinned = [
            bool(domain.read(guest.domain.XMLDesc(2)).current.pins)
            for guest in guests
        ]
        self.assertEqual([status == 0 for status in statuses], pinned)
