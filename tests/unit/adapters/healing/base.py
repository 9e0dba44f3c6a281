"""A host full of running guests that are not where they belong."""

import os
import shutil

import fixtures
import testtools

from kvm_tuning import loader
from kvm_tuning.adapters import standalone
from kvm_tuning.adapters.healing import apply
from kvm_tuning.adapters.healing.planned import Limits
from kvm_tuning.core import domain, moving, request
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.healing import rewrite
from kvm_tuning.core.healing.occupants import Choice
from kvm_tuning.core.xml import pins
from kvm_tuning.host import configuration
from tests.fixtures import memory_dir, scattered_guests
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.live_store import CountedSystem, LiveStore, Steps

#: Two L3 domains: pCPUs 0-4 and 5-9. 0 and 5 are shared.
HOST = FakeHost(cells=1, l3_per_cell=2, cores=5, threads=1)
FULL, WITH_ROOM = '1-4,6-9', '1-4,6-9,5'
#: Where the guests are, and their emulators.
SCATTERED = {'a': [1, 6, 2, 7], 'b': [3, 8], 'c': [4, 9]}
_ASKED = {
    'hw:cpu_policy': 'dedicated',
    'kvm:emulator_cpus': 'guest',
    'kvm:iothreads': '1',
    'kvm:iothread_cpus': 'guest',
}


class HealingTest(testtools.TestCase):
    dedicated = FULL

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        HOST.write(self.root)
        self.folder = self.useFixture(
            fixtures.TempDir(memory_dir.place())
        ).path
        self.conf = self._settings()
        self.store = LiveStore(self.folder)
        self.fill()
        self.state = self.snapshot()

    def _settings(self):
        folder = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        path = os.path.join(folder, 'c.conf')
        with open(path, 'w') as file:
            file.write(f'[placement]\ndedicated_cpus = {self.dedicated}\n')
            file.write(f'[libvirt]\nlock_path = {folder}\n')
        return configuration.load(self.root, [path])

    def fill(self):
        """Make two guests that were tuned, and one that was not."""
        hooks = loader.load()
        for name in ('a', 'b'):
            wanted = SCATTERED[name]
            self.store.add(name, vcpus=len(wanted), memory_mib=64)
            flavor = Flavor('f', '1', len(wanted), 64, 0, _ASKED)
            asked = request.read(flavor, None, loader.knobs(hooks))
            standalone.tune(
                self.store, self.conf, hooks, asked, name, self.root
            )
            self.scatter(name, wanted)
        for name in 'c':
            text = scattered_guests.xml(name, *SCATTERED[name])
            (self.store.folder / f'{name}.xml').write_text(text)
        for name in SCATTERED:
            self.store.run(name)

    def scatter(self, name, wanted):
        """Move a tuned guest that does not run yet."""
        path = self.store.folder / f'{name}.xml'
        found = domain.read(path.read_text())
        now = [min(cpus) for _v, cpus in sorted(found.current.pins.items())]
        path.write_text(
            rewrite.definition(found, dict(zip(now, wanted, strict=True)))
        )

    def host(self, steps=None):
        """Return the host, for one process."""
        steps = steps or Steps()
        self.store.steps = steps
        return apply.Host(
            self.store,
            self.conf,
            self.root,
            system=CountedSystem(self.root, steps),
        )

    def apply(self, steps=None, **choice):
        choice = {'untuned': True, **choice}
        return apply.apply(self.host(steps), Choice(**choice), Limits())

    def resume(self, steps=None):
        return apply.resume(self.host(steps))

    def undo(self, steps=None):
        return apply.undo(self.host(steps))

    def snapshot(self):
        """Return all that an exchange changes."""
        return (
            {p.name: p.read_text() for p in self.store.folder.iterdir()},
            {
                name: (dict(vcpus), dict(iothreads))
                for name, (vcpus, iothreads) in self.store.affinity.items()
            },
            dict(self.store.emulators),
        )

    def restore(self):
        """Make the state of the beginning."""
        files, affinity, emulators = self.state
        for path in self.store.folder.iterdir():
            path.unlink()
        for name, text in files.items():
            (self.store.folder / name).write_text(text)
        self.store.affinity = {
            name: (dict(vcpus), dict(iothreads))
            for name, (vcpus, iothreads) in affinity.items()
        }
        self.store.emulators = dict(emulators)
        self.store.most_doubled = 0
        shutil.rmtree(
            os.path.join(self.root, 'var/lib/kvm-tuning'), ignore_errors=True
        )

    def pins(self, name):
        """Return the pCPUs of a guest, after a look at all that says them."""
        vcpus = {
            vcpu: min(cpus)
            for vcpu, cpus in self.store.affinity[name][0].items()
        }
        record = self.store.record(name)
        for found in (record.definition, record.running):
            said = {v: min(cpus) for v, cpus in found.current.pins.items()}
            self.assertEqual(vcpus, said, name)
            if found.receipt is None:
                continue
            for pin in moving.promised(found.receipt):
                if pin.tag == pins.VCPU:
                    self.assertEqual({vcpus[pin.number]}, pin.cpus)
            self.assertEqual(set(vcpus.values()), found.receipt.claim.pcpus)
        return vcpus

    def assert_healed(self):
        for name in SCATTERED:
            own = set(self.pins(name).values())
            self.assertTrue(own <= {1, 2, 3, 4} or own <= {5, 6, 7, 8, 9})
        self._assert_helpers_follow()
        held = [cpu for n in SCATTERED for cpu in self.pins(n).values()]
        self.assertEqual(len(held), len(set(held)))

    def assert_as_before(self):
        for name, wanted in SCATTERED.items():
            self.assertEqual(wanted, list(self.pins(name).values()))
        self._assert_helpers_follow()
        self.assertIsNone(self.store.record('c').definition.receipt)
        self.assertIsNone(self.store.record('c').running.receipt)
        for name in SCATTERED:
            self.assertEqual(
                self.state[0][f'{name}.xml'], self.store.record(name).defined
            )

    def _assert_helpers_follow(self):
        for name in ('a', 'b'):
            own = frozenset(self.pins(name).values())
            self.assertEqual(own, self.store.emulators[name])
            self.assertEqual({1: own}, self.store.affinity[name][1])
