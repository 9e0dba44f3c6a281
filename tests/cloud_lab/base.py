"""What the tests share that run on lab nodes in the cloud (tools/cloud_lab).

They talk to Nova as those of tests/cloud do; libvirt, the audit and the
kernel are looked at inside the nodes.
"""

import json
import os
from pathlib import Path
import re
import subprocess
import sys
import time

import fixtures
from lxml import etree
from testtools.content import text_content

from kvm_tuning.core import cpuset
from tests.cloud.base import READY, TOP, CloudTest

#: The harness sets it.
ENVIRONMENT = 'KVM_TUNING_CLOUD_LAB'

#: In the virtual environment of Nova, as the seed of a node installs it.
KVM_TUNING = '/opt/nova/bin/kvm-tuning'
#: Two restored nodes, and the one that cloud-init makes.
FIRST, SECOND, JOINED = 'lab1', 'lab2', 'lab3'
NODES = (FIRST, SECOND)
#: pCPUs for guests: one core of each cell.
CELLS = ({2, 3}, {6, 7})
#: For emulators and the like.
HOUSEKEEPING = {0, 1, 4, 5}

#: What a guest can have of these nodes without a NIC.
SPECS = {
    'hw:cpu_policy': 'dedicated',
    'hw:mem_page_size': '2048',
    'kvm:cpu_locality': 'l3',
    'kvm:cpu_locality_policy': 'strict',
    'kvm:memory_locality': 'strict',
    'kvm:emulator_cpus': 'housekeeping',
    'kvm:iothreads': '2',
    'kvm:iothread_cpus': 'guest',
    'kvm:disk_iothread_map': 'spread',
    'kvm:disk_queues': '2',
    'kvm:disk_cache': 'none',
    'kvm:disk_io': 'native',
    'kvm:page_sharing': 'false',
}


class CloudLabTest(CloudTest):
    """A test that ends after ``deadline`` seconds, without servers."""

    deadline = 900
    variant = None

    def setUp(self):
        if ENVIRONMENT not in os.environ:
            self.skipTest('there are no lab nodes: python tools/cloud_lab')
        super().setUp()
        self.watched = NODES
        self.addOnException(self._logs)

    def _logs(self, _error):
        for node in self.watched:
            done = self._node(
                node,
                'tail -n 60 /var/log/nova/nova-compute.log; '
                'tail -n 60 /var/log/cloud-init.log 2>&1',
            )
            self.addDetail(f'logs of {node}', text_content(done.stdout))

    # Nodes

    @staticmethod
    def _node(node, command):
        return subprocess.run(
            [sys.executable, str(TOP / 'tools/cloud_lab'), 'run', node,
             command],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def shell(self, node, command, status=0):
        """Return what a shell command prints in a node."""
        done = self._node(node, command)
        said = f'{node}: {command}\n{done.returncode}\n{done.stdout}'
        self.addDetail(command[:60], text_content(said + done.stderr))
        self.assertEqual(status, done.returncode, said + done.stderr)
        return done.stdout

    def cloud_lab(self, verb):
        """Run ``python tools/cloud_lab``."""
        done = subprocess.run(
            [sys.executable, str(TOP / 'tools/cloud_lab'), verb],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.addDetail(verb, text_content(done.stdout + done.stderr))
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def inside(self, server, command, status=0):
        """Return what a command prints in the server's node."""
        return self.shell(self.where(server), command, status)

    def where(self, server):
        """Return the name of the server's node."""
        return self.compute.get_server(server.id).compute_host

    # Flavors and servers

    def pushed(self, name, vcpus, ram, **specs):
        """Return a flavor that ``kvm-tuning flavor push`` has filled, of a
        name that no other test has.
        """
        for flavor in self.compute.flavors():
            if flavor.name == name:
                self.compute.delete_flavor(flavor)
        made = self.compute.create_flavor(
            name=name, vcpus=vcpus, ram=ram, disk=0
        )
        self.addCleanup(self.compute.delete_flavor, made)
        specs = SPECS | {
            key.replace('__', ':'): str(value) for key, value in specs.items()
        }
        self.push(name, made, specs)
        return self.compute.get_flavor(made.id, get_extra_specs=True)

    def push(self, name, made, specs):
        """Give a flavor its extra specs, as an operator does."""
        folder = Path(self.useFixture(fixtures.TempDir()).path)
        path = folder / f'{name}.json'
        path.write_text(
            json.dumps(
                {
                    'name': name,
                    'id': made.id,
                    'vcpus': made.vcpus,
                    'ram': made.ram,
                    'disk': made.disk,
                    'properties': specs,
                }
            )
        )
        self.tool('flavor', 'push', str(path))

    def wait(self, server, status='ACTIVE', deadline=400):
        """Return the server when it has a status and no task."""
        return super().wait(server, status, deadline)

    def moved(self, server, node, deadline=400):
        """Migrate a server live to a node; return the seconds."""
        begun = time.monotonic()
        self.compute.live_migrate_server(
            server, host=node, block_migration='auto'
        )
        while True:
            server = self.compute.get_server(server.id)
            (last, *_rest) = self._migrations(server) or [None]
            if last in ('error', 'failed', 'cancelled') or (
                time.monotonic() - begun > deadline
            ):
                self.fail(f'{last}, {server.task_state}: {self.why(server)}')
            if last == 'completed' and server.task_state is None:
                break
            time.sleep(0.5)
        self.assertEqual(node, server.compute_host)
        return time.monotonic() - begun

    def _migrations(self, server):
        found = self.compute.get(
            f'/os-migrations?instance_uuid={server.id}'
        ).json()
        return [each['status'] for each in found['migrations']]

    # Guests

    def xml(self, server):
        """Return a server's live XML, parsed."""
        return etree.fromstring(
            self.inside(server, f'virsh -q dumpxml {server.id}')
        )

    def audit(self, server, *words, status=0):
        """Return the findings of an audit in the server's node, by address;
        there are some.
        """
        printed = self.inside(
            server,
            f'EVENTLET_NO_GREENDNS=yes {KVM_TUNING} guest audit '
            f'{server.id} -f json {" ".join(words)}',
            status,
        )
        (guest,) = json.loads(printed)['guests']
        self.assertTrue(guest['findings'], printed)
        return {each['address']: each for each in guest['findings']}

    def console(self, server):
        """Return what a guest has written on its console."""
        told = self.compute.get_server_console_output(server)
        return told['output'] or ''

    def until_ready(self, server, deadline=300, times=1):
        """Wait until the guest has said so often that it has come up."""
        end = time.monotonic() + deadline
        while self.console(server).count(READY) < times:
            self.assertTrue(time.monotonic() < end, self.console(server))
            time.sleep(2)

    @staticmethod
    def placed(xml):
        """Return the pCPUs of each vCPU, of the emulator and of each
        iothread, of a guest's XML.
        """
        found = {}
        for pin in xml.find('cputune'):
            if pin.get('cpuset') is not None:
                number = pin.get('vcpu') or pin.get('iothread') or ''
                found[pin.tag + number] = cpuset.parse(pin.get('cpuset'))
        return found

    def pages(self, server):
        """Return how many 2 MiB pages the kernel has given a guest, by cell.

        Documentation: proc_pid_numa_maps(5).
        """
        maps = self.inside(
            server,
            f'cat /proc/$(cat /run/libvirt/qemu/{server.instance_name}.pid)'
            f'/numa_maps | grep kernelpagesize_kB=2048',
        )
        found = {}
        for cell, count in re.findall(r' N(\d+)=(\d+)', maps):
            found[int(cell)] = found.get(int(cell), 0) + int(count)
        return found
