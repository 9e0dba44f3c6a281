"""An exchange of pCPUs between two real guests that run."""

import fixtures
import testtools

from kvm_tuning.adapters import connection
from kvm_tuning.adapters.healing import apply
from kvm_tuning.core import domain
from kvm_tuning.host import configuration
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import exchange_journal
from kvm_tuning.host.guests.exchange_journal import (
    ADDED,
    Exchange,
    Group,
    Guest,
)
from kvm_tuning.host.inventory import reader
from tests.fixtures import tiny_guest


class ExchangeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.raw = self.useFixture(tiny_guest.Libvirt()).connection
        online = sorted(reader.read(devices=False).online)
        if len(online) < 2:
            self.skipTest('an exchange takes two pCPUs')
        self.cpus = online[0], online[-1]
        self.guests = [self.start(cpu) for cpu in self.cpus]
        folder = self.useFixture(fixtures.TempDir()).path
        opened = connection.open('qemu:///system')
        self.host = apply.Host(
            opened.__enter__(),
            configuration.load(folder, []),
            system=System(folder),
        )
        self.addCleanup(opened.__exit__, None, None, None)
        self.before = [guest.domain.XMLDesc(2) for guest in self.guests]

    def start(self, cpu):
        def edit(xml):
            pins = f"<vcpupin vcpu='0' cpuset='{cpu}'/>"
            tune = f"<cputune>{pins}<emulatorpin cpuset='{cpu}'/></cputune>"
            xml = xml.replace('<vcpu>2</vcpu>', '<vcpu>1</vcpu>')
            return xml.replace('<os>', f'{tune}<os>', 1)

        guest = self.useFixture(tiny_guest.TinyGuest(self.raw, edit=edit))
        guest.domain.create()
        return guest

    def exchange(self):
        """Return a plan: each guest's vCPU 0 onto the other one's pCPU."""
        one, other = self.cpus
        return Exchange(
            tuple(
                Guest(
                    guest.domain.UUIDString(),
                    guest.name,
                    {0: old},
                    {0: new},
                    {old: new},
                    ADDED,
                    (frozenset({old}), frozenset({new})),
                )
                for guest, (old, new) in zip(
                    self.guests, ((one, other), (other, one)), strict=True
                )
            ),
            (Group(frozenset(self.cpus), frozenset()),),
            'now',
        )

    def places(self):
        """Return where the kernel lets each guest's vCPU 0 run, and where
        its emulator.
        """
        found = []
        for guest in self.guests:
            record = self.host.libvirt.record(guest.name)
            emulator = self.host.libvirt.emulator_pin(guest.name)
            found.append((*record.vcpus[0], *emulator))
        return found

    def promised(self):
        return [
            domain.read(guest.domain.XMLDesc(flags)).receipt is not None
            for guest in self.guests
            for flags in (0, 2)
        ]

    def test_there_and_back(self):
        one, other = self.cpus
        self.assertEqual([(one, one), (other, other)], self.places())
        done = apply.carry_out(self.host, self.exchange())
        self.assertEqual(((), 2, 1), (done.left, done.calls, done.doublings))
        self.assertEqual([(other, other), (one, one)], self.places())
        self.assertEqual([True] * 4, self.promised())
        back = apply.undo(self.host)
        self.assertEqual((), back.left)
        self.assertEqual([(one, one), (other, other)], self.places())
        self.assertEqual([False] * 4, self.promised())
        self.assertEqual(
            self.before, [guest.domain.XMLDesc(2) for guest in self.guests]
        )

    def test_finished_after_an_interruption(self):
        one, other = self.cpus
        exchange_journal.open_(self.host.files, self.exchange())
        self.host.libvirt.pin_vcpu(self.guests[0].name, 0, frozenset({other}))
        apply.resume(self.host)
        self.assertEqual([(other, other), (one, one)], self.places())
