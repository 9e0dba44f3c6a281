"""Servers come and go at random, and nova-compute is killed meanwhile."""

import os
from pathlib import Path
import random
import signal
import subprocess
import threading
import time

import fixtures
from testtools.content import text_content

from tests.cloud.base import DEDICATED, FOLDER, NETWORK, SPLIT, CloudTest

#: How many servers, and how often nova-compute is killed.
SERVERS = int(os.environ.get('KVM_TUNING_CLOUD_CHURN', '50'))
KILLS = SERVERS // 5
#: Servers that are there at once.
ALIVE = 4

STRICT = {'kvm__cpu_locality': 'l3', 'kvm__cpu_locality_policy': 'strict'}


class Watch(fixtures.Fixture):
    """Looks at libvirt all the time, from a thread of its own.

    :ivar looks: how often it has looked
    :ivar seen: the dedicated guests that it has seen
    :ivar faults: what was wrong
    """

    def __init__(self, test):
        super().__init__()
        self._test = test
        self._end = threading.Event()
        self.looks = 0
        self.seen = set()
        self.faults = []

    def _setUp(self):
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self._end.set)

    def _watch(self):
        while not self._end.wait(0.2):
            try:
                self.seen |= set(self._test.assert_disjoint())
            except Exception as error:
                # Whatever it is: one who looks no more sees nothing
                self.faults.append(f'{type(error).__name__}: {error}')
            self.looks += 1

    def check(self):
        """See that there was nothing wrong so far."""
        self._test.assertEqual([], self.faults)


class ChurnTest(CloudTest):
    """No pCPU is ever in two dedicated guests, and nothing stays behind."""

    deadline = 900
    variant = None

    def test_all_dedicated(self):
        """Three fifths of the servers, on all pCPUs."""
        self.configure(DEDICATED)
        self._churn(SERVERS * 3 // 5, KILLS * 3 // 5)

    def test_some_shared(self):
        """The rest, with such that share a pCPU."""
        self.configure(SPLIT)
        self._churn(SERVERS * 2 // 5, KILLS * 2 // 5, shared=True)

    def _churn(self, count, kills, shared=False):
        flavors = [
            self.pinned(),
            self.pinned(**STRICT, kvm__iothreads='1'),
            self.pinned(kvm__cpu_locality='l3', kvm__page_sharing='false'),
        ]
        if shared:
            flavors += [
                self.flavor(hw__cpu_policy='shared'),
                self.flavor(kvm__disk_cache='none'),
            ]
        seed = int(os.environ.get('KVM_TUNING_CLOUD_SEED', time.time()))
        dice = random.Random(seed)
        self.addDetail('seed', text_content(str(seed)))
        begun = time.monotonic()
        before = self._leftovers()
        watch = self.useFixture(Watch(self))
        servers = []
        killed = set(dice.sample(range(1, count), kills))
        for number in range(count):
            flavor = dice.choice(flavors)
            network = dice.choice((None, NETWORK))
            servers.append(self.create(flavor, network=network))
            if number in killed:
                # Somewhere in the middle of a build
                time.sleep(dice.uniform(0, 3))
                os.kill(self.pid('nova-compute'), signal.SIGKILL)
                self.harness('start', 'nova-compute')
            elif dice.random() < 0.6:
                servers[-1] = self.settled(servers[-1])
            while len(servers) > dice.randrange(1, ALIVE + 1):
                gone = servers.pop(dice.randrange(len(servers)))
                self.compute.delete_server(gone.id, ignore_missing=True)
            watch.check()
        settled = [self.settled(server) for server in servers]
        # A build that nobody goes on with would stay one for ever
        self.assertEqual(
            [],
            [
                (each.id, each.status, each.task_state, each.compute_host)
                for each in settled
                if each.status not in ('ACTIVE', 'ERROR')
            ],
        )
        self._agree(settled)
        watch.check()
        self.assertTrue(watch.seen)
        self.delete(*self.compute.servers())
        self._gone(before)
        with open(FOLDER / 'log/churn.log', 'a') as log:
            log.write(
                f'seed {seed}: {count} servers, {kills} kills, '
                f'{len(watch.seen)} guests seen in {watch.looks} looks, '
                f'{time.monotonic() - begun:.0f} s; at the end '
                f'{sorted(each.status for each in settled)}\n'
            )

    def _agree(self, servers):
        """See that Nova, placement and libvirt have the same guests, on the
        same pCPUs.
        """
        active = {each.id for each in servers if each.status == 'ACTIVE'}
        end = time.monotonic() + 60
        while True:
            there = {
                domain.UUIDString() for domain in self.libvirt.listAllDomains()
            }
            if active <= there:
                break
            self.assertTrue(time.monotonic() < end, (active, there))
            time.sleep(1)
        for server in servers:
            if server.status == 'ACTIVE':
                self.audit(server)
                held = self.allocations(server)
                self.assertEqual(1, len(held), held)
        self.assert_disjoint()

    def _leftovers(self):
        """Return what guests leave: domains, taps, ports, files, claims."""
        names = subprocess.run(
            ['ovs-vsctl', 'list-ports', 'br-int'],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        usages = {
            each.id: self.cloud.placement.get(
                f'/resource_providers/{each.id}/usages'
            ).json()['usages']
            for each in self.cloud.placement.resource_providers()
        }
        return {
            'domains': [d.name() for d in self.libvirt.listAllDomains()],
            'taps': [
                path.name
                for path in Path('/sys/class/net').iterdir()
                if path.name.startswith('tap')
            ],
            'switch': names,
            'ports': [port.id for port in self.cloud.network.ports()],
            'instances': sorted(
                path.name
                for path in (FOLDER / 'state/nova/instances').iterdir()
                if len(path.name) == 36
            ),
            'usages': {
                key: {k: v for k, v in found.items() if v}
                for key, found in usages.items()
            },
            'pins': self.pins(),
            'journals': {
                path.name: path.read_text()
                for path in Path('/var/lib/kvm-tuning').glob('*.json')
            },
        }

    def _gone(self, before):
        """See that all is as it was, as soon as Nova has cleaned up."""
        end = time.monotonic() + 120
        while True:
            now = self._leftovers()
            if now == before:
                return
            if time.monotonic() > end:
                self.assertEqual(before, now)
            time.sleep(2)
