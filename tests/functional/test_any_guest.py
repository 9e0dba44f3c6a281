"""Guests that are not new, tuned and undone on a real libvirtd."""

import json
import os
import re

import fixtures
import testtools

from kvm_tuning.core import cpuset
from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest
from tests.fixtures.command import Command
from tests.fixtures.scenarios import GUESTS

#: Emulation takes no cache or bandwidth allocation.
_KVM_ONLY = re.compile(r'\s*<(cachetune|memorytune)\b.*?</\1>', re.DOTALL)
#: Guest, vCPUs, MiB, extra specs, image properties.
TUNED = (
    ('wide', 4, 4096, {'kvm:page_sharing': 'false'}, {}),
    ('wide', 3, 1024, {'kvm:iothreads': '1'}, {}),
    ('wide', 16, 8192, {'kvm:page_sharing': 'false'}, {}),
    ('auto', 2, 2048, {'kvm:memory_locality': 'strict'}, {}),
    (
        'windows', 2, 2048, {'kvm:profile': 'density'},
        {
            'hw_disk_bus': 'sata', 'hw_vif_model': 'e1000e',
            'os_type': 'windows',
        },
    ),
    ('windows', 4, 2048, {'kvm:iothreads': '2'}, {'hw_disk_bus': 'scsi'}),
    ('windows', 4, 2048, {'kvm:disk_cache': 'none'}, {'hw_disk_bus': 'usb'}),
    ('odd', 4, 2048, {'kvm:iothreads': '3', 'kvm:disk_cache': 'none'}, {}),
    ('odd', 4, 2048, {'kvm:vif_queues': '2', 'kvm:vif_rx_ring': '512'}, {}),
)  # fmt: skip
REFUSED = (
    ('wide', 300, 4096, {'kvm:page_sharing': 'false'}, {}, 'eim'),
    ('dimm', 4, 1024, {'kvm:page_sharing': 'false'}, {}, 'hw:numa_nodes'),
    ('odd', 4, 2048, {'kvm:disk_cache': 'unsafe'}, {}, 'native'),
    (
        'windows', 4, 2048, {'kvm:page_sharing': 'false'},
        {'hw_disk_bus': 'ide'}, 'hw_disk_bus=ide',
    ),
)  # fmt: skip


class AnyGuestTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.connection = self.useFixture(tiny_guest.Libvirt()).connection
        self.folder = self.useFixture(fixtures.TempDir()).path
        online = reader.read(devices=False).online
        self.config = self.write(
            'c.conf',
            f'[placement]\nshared_cpus = {cpuset.format(online)}\n'
            f'[libvirt]\nlock_path = {self.folder}\n',
        )
        self.command = self.useFixture(Command())

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def define(self, name):
        xml = (GUESTS / f'{name}.xml').read_text()
        xml = xml.replace("type='kvm'", "type='qemu'", 1)
        return self.connection.defineXML(_KVM_ONLY.sub('', xml))

    def run_on(self, verb, name, vcpus, memory_mib, specs, properties):
        flavor = {
            'name': 'f', 'id': '1', 'vcpus': vcpus, 'ram': memory_mib,
            'disk': 0, 'properties': specs,
        }  # fmt: skip
        arguments = ['--flavor', self.write('f.json', json.dumps(flavor))]
        if properties:
            image = json.dumps({'name': 'i', 'properties': properties})
            arguments += ['--image', self.write('i.json', image)]
        target = ['--domain', name] if verb == 'plan' else [name]
        return self.command.run(
            '--config-file', self.config, 'guest', verb, *target, *arguments,
            '-f', 'json',
        )  # fmt: skip

    def test_what_is_planned_is_tuned_and_undone(self):
        for guest, *asked in TUNED:
            domain = self.define(guest)
            before = domain.XMLDesc(3)
            done = self.run_on('plan', guest, *asked)
            self.assertEqual(0, done.status, (guest, asked, done))
            codes = [c['code'] for c in done.document['consequences']]
            self.assertNotIn('not-judged', codes)
            self.assertEqual(before, domain.XMLDesc(3))
            done = self.run_on('tune', guest, *asked)
            self.assertEqual(0, done.status, (guest, asked, done))
            self.assertNotEqual(before, domain.XMLDesc(3))
            done = self.command.run(
                '--config-file', self.config, 'guest', 'undo', guest
            )
            self.assertEqual(0, done.status, (guest, asked, done))
            self.assertEqual(before, domain.XMLDesc(3), (guest, asked))
            domain.undefine()

    def test_what_libvirt_would_refuse_is_refused_before(self):
        for guest, *asked, word in REFUSED:
            domain = self.define(guest)
            before = domain.XMLDesc(3)
            for verb in ('plan', 'tune'):
                done = self.run_on(verb, guest, *asked)
                self.assertEqual(1, done.status, (verb, guest, asked, done))
                self.assertIn(word, done.stderr)
            self.assertEqual(before, domain.XMLDesc(3))
            domain.undefine()
