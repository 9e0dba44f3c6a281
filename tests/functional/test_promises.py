"""Promises that this machine can keep, and those that it cannot."""

import json
import os

import fixtures
import testtools

from kvm_tuning.core import cpuset
from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest
from tests.fixtures.command import Command
from tests.fixtures.huge_pages import HugePages

FAST = {
    'kvm:iothreads': '2',
    'kvm:disk_iothread_map': 'dedicated',
    'kvm:disk_cache': 'none',
    'kvm:disk_io': 'native',
    'kvm:disk_queues': '2',
    'kvm:vif_queues': '2',
    'kvm:vif_rx_ring': '512',
    'kvm:page_sharing': 'false',
}


class PromisesTest(testtools.TestCase):
    """Guests of two shared vCPUs: no pCPU has to be dedicated."""

    def setUp(self):
        super().setUp()
        self.libvirt = self.useFixture(tiny_guest.Libvirt())
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.online = reader.read(devices=False).online
        self.config = self.write(
            'c.conf',
            f'[placement]\nshared_cpus = {cpuset.format(self.online)}\n'
            f'[libvirt]\nlock_path = {self.folder}\n',
        )
        self.command = self.useFixture(Command())

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def guest(self):
        return self.useFixture(tiny_guest.TinyGuest(self.libvirt.connection))

    def run_command(self, *argv, status=0):
        done = self.command.run('--config-file', self.config, 'guest', *argv)
        self.assertEqual(status, done.status, done)
        return done

    def tune(self, guest, properties, image=None, status=0):
        flavor = self.write(
            'flavor.json',
            json.dumps(
                {
                    'name': 'fast',
                    'id': '1',
                    'vcpus': 2,
                    'ram': 256,
                    'disk': 1,
                    'properties': properties,
                }
            ),
        )
        argv = ['tune', guest.name, '--flavor', flavor]
        if image is not None:
            document = {'name': 'image', 'id': '2', 'properties': image}
            argv += ['--image', self.write('i.json', json.dumps(document))]
        return self.run_command(*argv, status=status)

    def broken(self, guest):
        """Return the promises that the audit does not find kept."""
        done = self.command.run(
            '--config-file', self.config,
            'guest', 'audit', guest.name, '-f', 'json',
        )  # fmt: skip
        (audited,) = done.document['guests']
        rows = audited['findings']
        self.assertTrue([r for r in rows if r['severity'] == 'ok'])
        return [
            (row['address'], row['wanted'], row['found'], row['why'])
            for row in rows
            if row['severity'] in ('error', 'warning')
        ]


class KeptTest(PromisesTest):
    def test_two_guests_run_and_audit_clean(self):
        pages = self.useFixture(HugePages(256))
        wanted = dict(FAST)
        if pages.reserved:
            wanted['hw:mem_page_size'] = '2MB'
        guests = [self.guest(), self.guest()]
        for guest in guests:
            self.tune(guest, wanted)
            self.run_command('start', guest.name)
        for guest in guests:
            guest.wait_until_ready()
            self.assertEqual([], self.broken(guest))

    def test_undo_gives_the_definition_of_before(self):
        for properties, image in (
            (FAST, None),
            ({'kvm:iothreads': '3', 'kvm:memory_allocation': 'immediate'}, {}),
            ({}, {'hw_disk_bus': 'scsi', 'hw_vif_model': 'e1000e'}),
            ({'kvm:disk_io': 'auto'}, {'hw_disk_bus': 'sata'}),
        ):
            guest = self.guest()
            before = guest.domain.XMLDesc(2)
            self.tune(guest, properties, image)
            self.assertNotEqual(before, guest.domain.XMLDesc(2))
            self.run_command('undo', guest.name)
            self.assertEqual(before, guest.domain.XMLDesc(2))


class RefusedTest(PromisesTest):
    def refused(self, properties, *words):
        guest = self.guest()
        before = guest.domain.XMLDesc(2)
        done = self.tune(guest, properties, status=1)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(before, guest.domain.XMLDesc(2))

    def test_vhost_in_an_emulated_guest(self):
        self.refused({'kvm:vif_backend': 'vhost'}, 'Unsupported: ', 'vhost')

    def test_more_cells_than_this_host_has(self):
        if len(reader.read(devices=False).cells) > 1:
            self.skipTest('this host has two cells')
        self.refused({'hw:numa_nodes': '2'}, 'Unsupported: ', '2 NUMA cells')

    def test_dedicated_vcpus_without_a_dedicated_set(self):
        self.refused(
            {'hw:cpu_policy': 'dedicated'}, '[placement] dedicated_cpus'
        )

    def test_a_page_size_that_is_none(self):
        self.refused({'hw:mem_page_size': '3MB'}, 'hw:mem_page_size')
