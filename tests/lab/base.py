"""What the tests share that run inside the lab node (see tools/lab).

They change the host that they run on, so that they are skipped elsewhere.
"""

import json
import os
from pathlib import Path
import subprocess
import time

import fixtures
import testtools
from testtools.content import text_content

from tests.fixtures import tiny_guest
from tests.fixtures.command import Command, Outcome

#: The harness sets it, in the node.
ENVIRONMENT = 'KVM_TUNING_LAB'

#: pCPUs of both cells for dedicated vCPUs: one core, two threads each.
DEDICATED = '2-3,6-7'
SHARED = '0-1,4-5'

#: Seconds until a guest on an emulated host is ready, where that host has one
#: busy processor of ours: 20 to 150.
_READY_DEADLINE = 240
#: Seconds until one that has not said a word is taken to hang, as some boots
#: under emulation do.
_MUTE_DEADLINE = 160


class LabTest(testtools.TestCase):
    """A test in the node, ended after ``deadline`` seconds."""

    deadline = 240

    def setUp(self):
        if not os.environ.get(ENVIRONMENT):
            self.skipTest('this is not the lab node')
        super().setUp()
        self.useFixture(fixtures.Timeout(self.deadline, gentle=True))
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)

    def shell(self, command, status=0):
        """Return what a shell command of the node prints."""
        done = self._run(['sh', '-c', command])
        self.assertEqual(status, done.status, f'{command}: {done}')
        return done.stdout.strip()

    def tool(self, *argv, status=0, script=False):
        """Run a command of the installed ``kvm-tuning``.

        :param status: the exit status that is wanted; None: any
        :param script: in a process of its own, which takes 5 s more here
        """
        begun = time.monotonic()
        if script:
            done = self._run(['kvm-tuning', *argv])
        else:
            done = self.useFixture(Command()).run(*argv)
        seconds = time.monotonic() - begun
        self.addDetail(
            f'kvm-tuning {" ".join(argv)}',
            text_content(
                f'{seconds:.1f} s, status {done.status}\n{done.stdout}\n'
                f'{done.stderr}'
            ),
        )
        if status is not None:
            self.assertEqual(status, done.status, done)
        return done

    def _run(self, argv):
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=self.deadline,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def write(self, name, text):
        """Return the path of a new file of the test's own folder."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def set(self, path, value):
        """Write a file of the kernel; put back what was there, after."""
        file = Path(path)
        self.addCleanup(file.write_text, file.read_text())
        file.write_text(str(value))
        self.assertEqual(str(value), file.read_text().strip(), path)


class GuestTest(LabTest):
    """Guests of type kvm, and the configuration they are tuned with."""

    extra = ''

    def setUp(self):
        super().setUp()
        self.libvirt = self.useFixture(tiny_guest.Libvirt()).connection
        self.config = self.write(
            'kvm-tuning.conf',
            f'[placement]\ndedicated_cpus = {DEDICATED}\n'
            f'shared_cpus = {SHARED}\n[libvirt]\n'
            f'lock_path = {self.folder}\n{self.extra}',
        )

    def make(self, edit=None):
        """Return a new guest, defined; it ends with the test."""
        return self.useFixture(
            tiny_guest.TinyGuest(self.libvirt, domain_type='kvm', edit=edit)
        )

    def flavor(self, vcpus=2, ram=256, name='flavor', **specs):
        """Return the file of a flavor; ``hw__x`` is the key ``hw:x``."""
        return self.write(
            f'{name}.json',
            json.dumps(
                {
                    'name': name,
                    'id': '1',
                    'vcpus': vcpus,
                    'ram': ram,
                    'disk': 1,
                    'properties': {
                        key.replace('__', ':'): str(value)
                        for key, value in specs.items()
                    },
                }
            ),
        )

    def guest(self, verb, *argv, status=0):
        """Run ``kvm-tuning guest VERB``; as JSON where there is any."""
        form = () if verb == 'start' else ('-f', 'json')
        return self.tool(
            '--config-file', self.config, 'guest', verb, *argv, *form,
            status=status,
        )  # fmt: skip

    def start(self, guest, wait=True):
        """Start a tuned guest, until it says that it is ready."""
        self.guest('start', guest.name)
        if wait:
            self._until_ready(guest)

    def _until_ready(self, guest):
        try:
            guest.wait_until_ready(_MUTE_DEADLINE)
        except TimeoutError as error:
            self.addDetail('mute', text_content(str(error)))
            if not guest.console.read_text(errors='replace'):
                guest.domain.reset()
            guest.wait_until_ready(_READY_DEADLINE)

    def audit(self, guest, status=0):
        """Return what of a guest's promises is not kept, by address."""
        done = self.guest('audit', guest.name, status=status)
        (audited,) = done.document['guests']
        self.assertTrue(audited['findings'], done)
        return {
            each['address']: (each['severity'], each['found'])
            for each in audited['findings']
            if each['severity'] in ('error', 'warning', 'unknown')
        }

    @staticmethod
    def pid(guest):
        """Return the process of a running guest."""
        return int(Path(f'/run/libvirt/qemu/{guest.name}.pid').read_text())

    def threads(self, guest):
        """Return the names of a guest's threads by their ids."""
        tasks = Path(f'/proc/{self.pid(guest)}/task')
        return {
            int(task.name): (task / 'comm').read_text().strip()
            for task in tasks.iterdir()
        }


def huge_pages(test, count, cells=(0, 1)):
    """Make 2 MiB pages in each cell, for as long as the test runs."""
    for cell in cells:
        test.set(
            f'/sys/devices/system/node/node{cell}/hugepages/'
            f'hugepages-2048kB/nr_hugepages',
            count,
        )
