"""Guests that an earlier release tuned: audit, start, undo, the queue."""

import os
from pathlib import Path

import fixtures
import testtools

from kvm_tuning import loader
from kvm_tuning.adapters import (
    audit,
    holders,
    reconcile,
    standalone,
    starting,
)
from kvm_tuning.core import domain, receipt, request
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import InvalidDocument, JournalFailed
from kvm_tuning.host import configuration
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.guests import start_queue, vf_journal
from kvm_tuning.host.guests.settings import Result
from tests.fixtures import memory_dir
from tests.fixtures.domain_store import DomainStore
from tests.fixtures.fake_vfs import FakeWriter, add_process
from tests.fixtures.release import RELEASES

PID = 90


class Site(fixtures.Fixture):
    """The host of a recording, with its guests as the release left them."""

    def __init__(self, release):
        self.release = release

    def _setUp(self):
        temporary = fixtures.TempDir(memory_dir.place())
        self.root = self.useFixture(temporary).path
        self.release.guest_host().write(self.root)
        self.plan = self.release.document('guests.yaml')
        folder = self.useFixture(fixtures.TempDir()).path
        self.store = DomainStore(folder)
        for name in self.plan['guests']:
            self.release.copy(
                f'guests/{name}-tuned.xml', f'{folder}/{name}.xml'
            )
        settings = f'{folder}/c.conf'
        with open(settings, 'w') as stream:
            stream.write(self.plan['configuration'])
            stream.write(f'[libvirt]\nlock_path = {folder}\n')
        self.conf = configuration.load(self.root, [settings])
        self.writer = FakeWriter(
            *((pf, i) for pf, n in self.plan['vfs'].items() for i in range(n)),
            root=self.root,
        )

    def lay_vf_journal(self):
        self.release.copy(
            'vf-attributes.json', f'{self.root}/{vf_journal.PATH}', 0o600
        )
        entries = tuple(vf_journal.load(Tree(self.root)))
        for entry in entries:
            self.writer.vfs[entry.pf, entry.index][entry.name] = entry.wanted
        return entries

    def asked(self, name):
        guest = self.plan['guests'][name]
        size, image = guest['size'], guest.get('image')
        return request.read(
            Flavor(
                name, name, size['vcpus'], size['memory_mib'], 0,
                guest['specs'],
            ),
            Image('image', 'image', image) if image else None,
            loader.knobs(loader.load()),
            defaults=guest.get('defaults', {}),
        )  # fmt: skip


class GuestsTest(testtools.TestCase):
    """Each test runs on each guest of each release."""

    def each(self):
        for release in RELEASES.values():
            names = release.document('guests.yaml')['guests']
            self.assertGreater(len(names), 4)
            for name in names:
                yield name, self.useFixture(Site(release))

    def test_the_receipt_says_what_was_requested(self):
        for name, site in self.each():
            found = domain.read(site.store.record(name).defined).receipt
            self.assertEqual(name, found.flavor)
            keys = {asked.key for asked in found.asked}
            guest = site.plan['guests'][name]
            for source in ('specs', 'image', 'defaults'):
                self.assertEqual(
                    set(), set(guest.get(source, {})) - keys, name
                )

    def test_audit_finds_nothing_broken(self):
        for name, site in self.each():
            (done,) = audit.audit(
                site.store, site.conf, [name], root=site.root
            )
            bad = [
                finding
                for finding in done.findings
                if finding.severity in (Severity.ERROR, Severity.WARNING)
                and finding.code != 'preference-not-kept'
            ]
            self.assertEqual([], bad, name)

    def test_audit_sees_what_somebody_changes(self):
        for name, site in self.each():
            path = site.store.folder / f'{name}.xml'
            text = path.read_text()
            for old, new in (
                ("<vcpupin vcpu='0' cpuset='", "<vcpupin vcpu='0' cpuset='9,"),
                ("<model type='e1000'/>", "<model type='virtio'/>"),
                ("bus='0x11' slot='0x10'", "bus='0x12' slot='0x10'"),
            ):
                if old in text:
                    path.write_text(text.replace(old, new))
                    break
            else:
                self.fail(f'{name} has nothing to change')
            (done,) = audit.audit(
                site.store, site.conf, [name], root=site.root
            )
            codes = {finding.severity for finding in done.findings}
            self.assertIn(Severity.ERROR, codes, name)

    def test_what_it_holds_is_held(self):
        for name, site in self.each():
            found = holders.read(site.store, site.conf, site.root)
            (held,) = [each for each in found if each.name == name]
            receipt = domain.read(site.store.record(name).defined).receipt
            devices = {d for claim in held.claims for d in claim.devices}
            pcpus = {p for claim in held.claims for p in claim.pcpus}
            self.assertEqual(set(), receipt.claim.devices - devices, name)
            self.assertEqual(receipt.claim.pcpus, pcpus, name)

    def test_start(self):
        for name, site in self.each():
            record = site.store.record(name)
            add_process(site.root, PID, record.uuid, '0-31', ['0-31'])
            done = starting.start(
                site.store, site.conf, name, site.root, site.writer
            )
            self.assertTrue(done.started, name)
            self.assertEqual(
                set(), {s.result for s in done.steps} - {Result.SET}, name
            )
            receipt = domain.read(record.defined).receipt
            promised = [
                setting
                for setting in receipt.settings
                if setting.scope.value == 'instance'
            ]
            self.assertEqual(len(promised), len(done.steps), name)

    def test_undo_gives_the_former_bytes(self):
        for name, site in self.each():
            done = standalone.undo(site.store, site.conf, name)
            self.assertTrue(done.changed, name)
            self.assertEqual((), done.foreign, name)
            self.assertEqual(
                site.release.text(f'guests/{name}-before.xml'),
                site.store.record(name).defined,
            )

    def test_tuned_again_and_undone(self):
        for name, site in self.each():
            standalone.tune(
                site.store,
                site.conf,
                loader.load(),
                site.asked(name),
                name,
                site.root,
            )
            standalone.undo(site.store, site.conf, name)
            self.assertEqual(
                site.release.text(f'guests/{name}-before.xml'),
                site.store.record(name).defined,
            )


class LaterTest(testtools.TestCase):
    """After a downgrade: a receipt that takes a newer release to read."""

    def test_it_is_refused_and_left_alone(self):
        for release in RELEASES.values():
            site = self.useFixture(Site(release))
            path = site.store.folder / 'cells.xml'
            later = path.read_text().replace(
                " flavor='cells'",
                f" flavor='cells' format='{receipt.FORMAT + 1}'",
            )
            path.write_text(later)
            self.assertRaises(
                InvalidDocument,
                standalone.undo,
                site.store,
                site.conf,
                'cells',
            )
            self.assertEqual(later, path.read_text())
            (done,) = audit.audit(
                site.store, site.conf, ['cells'], root=site.root
            )
            codes = [finding.code for finding in done.findings]
            self.assertEqual(['receipt-unreadable'], codes)

    def test_what_it_holds_is_not_given_away(self):
        for release in RELEASES.values():
            site = self.useFixture(Site(release))
            path = site.store.folder / 'plain.xml'
            held = {
                pcpu
                for each in holders.read(site.store, site.conf, site.root)
                if each.name == 'plain'
                for claim in each.claims
                for pcpu in claim.pcpus
            }
            self.assertNotEqual(set(), held)
            path.write_text(
                path.read_text().replace(
                    " flavor='plain'",
                    f" flavor='plain' format='{receipt.FORMAT + 1}'",
                )
            )
            ledger = standalone.ledger(site.store, site.conf, site.root)
            claimed = {p for claim in ledger.claims for p in claim.pcpus}
            self.assertEqual(set(), held - claimed)


class VfsTest(testtools.TestCase):
    """A guest runs, or has ended, while the package is upgraded."""

    def each(self):
        for release in RELEASES.values():
            site = self.useFixture(Site(release))
            entries = site.lay_vf_journal()
            self.assertNotEqual((), entries)
            yield site, entries

    def reconcile(self, site, queue=None):
        return reconcile.reconcile(
            site.store, site.conf, (), queue, site.root, site.writer
        )

    def test_a_guest_that_ended_gives_its_vf_back(self):
        for site, entries in self.each():
            steps = self.reconcile(site)
            self.assertEqual(
                [Result.RESTORED] * len(entries),
                [step.result for step in steps],
            )
            for entry in entries:
                vf = site.writer.vfs[entry.pf, entry.index]
                self.assertEqual(entry.before, vf[entry.name])
            self.assertFalse(os.path.exists(f'{site.root}/{vf_journal.PATH}'))

    def test_a_running_guest_keeps_it(self):
        for site, entries in self.each():
            names = {entry.guest for entry in entries}
            for name in names:
                uuid = site.store.record(name).uuid
                add_process(site.root, PID, uuid, '0-31', ['0-31'])
                site.store.start(name)
            kept = {
                step.result
                for step in self.reconcile(site)
                if step.kind == 'vf-attribute'
            }
            self.assertEqual({Result.KEPT}, kept)
            self.assertEqual(entries, tuple(vf_journal.load(Tree(site.root))))

    def test_events_that_wait_in_the_queue(self):
        for site, _entries in self.each():
            queue = self.useFixture(fixtures.TempDir()).path
            texts = site.release.document('queue.yaml')
            for number, text in enumerate(texts):
                path = Path(queue) / f'event{number}'
                path.write_text(text)
                os.utime(path, ns=(number, number))
            events = start_queue.read(queue)
            self.assertEqual(
                texts, [f'{e.guest}\n{e.operation}\n' for e in events]
            )
            steps = self.reconcile(site, queue)
            self.assertNotIn(Result.FAILED, {step.result for step in steps})
            self.assertEqual([], os.listdir(queue))

    def test_a_later_journal_is_refused_and_left_alone(self):
        for site, _entries in self.each():
            path = Path(site.root) / vf_journal.PATH
            later = path.read_text().replace(
                f'"version": {vf_journal.VERSION}',
                f'"version": {vf_journal.VERSION + 1}',
            )
            path.write_text(later)
            self.assertRaises(JournalFailed, self.reconcile, site)
            self.assertEqual(later, path.read_text())
