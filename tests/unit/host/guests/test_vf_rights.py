"""The privileged process sets attributes of a guest's own VFs alone."""

import os

import fixtures
import testtools

from kvm_tuning.host.guests import definitions, privsep, vf_rights
from tests.fixtures import domain_store
from tests.fixtures.fake_host import FakeHost, FakePf

PF = '0000:11:00.0'
ADDRESS = "domain='0' bus='0x11' slot='0x10' function='{}'"
HOSTDEV = (
    "<devices><hostdev mode='subsystem' type='pci'><source><address {}/>"
    '</source></hostdev>'
)


class RightsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        FakeHost(cells=1, pfs=(FakePf('eth0', vfs=3),)).write(self.root)
        self.vfs = {index: {'vlan': '0', 'trust': '0'} for index in range(3)}
        self.web = self.define('web', 0)

    def xml(self, name, vf):
        device = HOSTDEV.format(ADDRESS.format(vf * 2))
        return domain_store.xml(name).replace('<devices>', device)

    def put(self, path, text):
        full = f'{self.root}/{path}'
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as file:
            file.write(text)

    def define(self, name, vf):
        xml = self.xml(name, vf)
        self.put(f'etc/libvirt/qemu/{name}.xml', xml)
        return xml.partition('<uuid>')[2].partition('<')[0]

    def run_guest(self, name, vf):
        self.put(
            f'run/libvirt/qemu/{name}.xml',
            f"<domstatus state='running'>{self.xml(name, vf)}</domstatus>",
        )

    def set(self, uuid, vf, name, value):
        def write(_pf, index, name, value):
            self.vfs[index][name] = value

        vf_rights.set_attribute(
            uuid,
            (PF, vf),
            name,
            value,
            lambda pf, index: self.vfs.get(index) if pf == PF else None,
            write,
            self.root,
        )

    def refused(self, uuid, vf, name, value, word):
        before = {k: dict(v) for k, v in self.vfs.items()}
        error = self.assertRaises(OSError, self.set, uuid, vf, name, value)
        self.assertIn(word, str(error))
        self.assertEqual(before, self.vfs)

    def test_its_own(self):
        self.set(self.web, 0, 'vlan', '7')
        self.assertEqual('7', self.vfs[0]['vlan'])

    def test_one_of_nobody_and_one_of_another(self):
        self.refused(self.web, 1, 'trust', '1', 'not in guest')
        other = self.define('db', 1)
        self.refused(self.web, 1, 'trust', '1', 'not in guest')
        self.set(other, 1, 'trust', '1')
        self.refused('nobody', 0, 'trust', '1', 'not in guest')

    def test_one_that_another_running_guest_has(self):
        self.run_guest('db', 0)
        self.refused(self.web, 0, 'vlan', '7', 'running guest db')

    def test_its_own_while_it_runs(self):
        os.unlink(f'{self.root}/etc/libvirt/qemu/web.xml')
        self.run_guest('web', 0)
        self.set(self.web, 0, 'vlan', '7')
        self.assertEqual('7', self.vfs[0]['vlan'])

    def test_given_back_once_the_guest_is_gone_and_to_nothing_else(self):
        self.define('db', 2)
        self.set(self.web, 0, 'vlan', '7')
        self.set(self.web, 0, 'vlan', '9')
        os.unlink(f'{self.root}/etc/libvirt/qemu/web.xml')
        self.refused(self.web, 0, 'vlan', '5', 'not in guest')
        self.set(self.web, 0, 'vlan', '0')
        self.assertEqual('0', self.vfs[0]['vlan'])
        self.refused(self.web, 0, 'vlan', '7', 'not in guest')
        self.assertEqual([], os.listdir(f'{self.root}/{vf_rights.RECORDS}'))

    def test_where_libvirt_keeps_nothing(self):
        os.unlink(f'{self.root}/etc/libvirt/qemu/web.xml')
        self.refused(self.web, 0, 'vlan', '7', 'libvirt keeps no guest')

    def test_a_definition_that_a_stranger_could_have_written(self):
        self.define('db', 1)
        os.chmod(f'{self.root}/etc/libvirt/qemu/web.xml', 0o666)
        self.refused(self.web, 0, 'vlan', '7', 'not in guest')
        os.chmod(f'{self.root}/etc/libvirt/qemu', 0o777)
        self.refused(self.web, 0, 'vlan', '7', 'everybody')

    def test_an_unreadable_definition_stops_no_other(self):
        self.put('etc/libvirt/qemu/bad.xml', '<domstatus/>')
        self.put('etc/libvirt/qemu/worse.xml', '<a')
        self.set(self.web, 0, 'vlan', '7')

    def test_an_unreadable_running_guest_could_have_it(self):
        self.put('run/libvirt/qemu/bad.xml', '<domstatus/>')
        self.refused(self.web, 0, 'vlan', '7', '/run/libvirt/qemu/bad.xml')
        self.assertRaises(OSError, definitions.read, self.root)


class EntryTest(testtools.TestCase):
    """What the privileged process runs for whoever is not root."""

    def setUp(self):
        super().setUp()
        before = privsep.ctx.client_mode
        self.addCleanup(privsep.ctx.set_client_mode, before)
        privsep.ctx.set_client_mode(False)
        self.useFixture(
            fixtures.MonkeyPatch(f'{privsep.__name__}._own_rights', [])
        )

    def test_is_guarded(self):
        error = self.assertRaises(
            OSError,
            privsep.set_vf_attribute, 'u', '0000:99:00.0', 0, 'vlan', '7',
        )  # fmt: skip
        self.assertNotIn('has no VF', str(error))

    def test_words_that_are_none(self):
        for words in (
            ('../../etc', 0, 'vlan', '7'),
            (PF, 0, 'mac', '7'),
            (PF, 0, 'vlan', '7; reboot'),
        ):
            error = self.assertRaises(
                OSError, privsep.set_vf_attribute, 'u', *words
            )
            # Of words that the caller's process can make one of again.
            self.assertIs(OSError, type(error))
