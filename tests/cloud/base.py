"""What the tests share that run in the cloud (see tools/cloud).

They change what runs there, so that they are skipped elsewhere.
"""

from collections import Counter
import contextlib
import json
import os
from pathlib import Path
import subprocess
import sys
import time
import uuid

import fixtures
import testtools
from testtools.content import text_content

TOP = Path(__file__).resolve().parents[2]

#: The harness sets it, inside: the cloud's folder.
ENVIRONMENT = 'KVM_TUNING_CLOUD'

FOLDER = Path(os.environ.get(ENVIRONMENT) or '/nonexistent')
_DROP_IN = FOLDER / 'etc/nova/compute.d/test.conf'

#: All pCPUs dedicated, so that there are two of them in the smallest machine.
DEDICATED = f"""
[compute]
cpu_dedicated_set = 0-{(os.cpu_count() or 1) - 1}
cpu_shared_set =
"""
#: As the harness has configured it: one pCPU is shared.
SPLIT = ''
#: Nova's own driver; no trace of ours but the package.
STOCK = """
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
"""

IMAGE, BLANK, NETWORK = 'tiny', 'blank', 'net'
READY = 'guest ready'


class CloudTest(testtools.TestCase):
    """A test that ends after ``deadline`` seconds, without servers."""

    deadline = 300
    #: What nova-compute's configuration has beside nova.conf; None: as it is.
    variant = SPLIT

    def setUp(self):
        if ENVIRONMENT not in os.environ:
            self.skipTest('this is not the cloud: python tools/cloud run')
        super().setUp()
        self.useFixture(fixtures.Timeout(self.deadline, gentle=True))
        # Here and not on top: there is neither of them elsewhere
        import libvirt
        import openstack

        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        self.libvirt = libvirt.open('qemu:///system')
        self.addCleanup(self.libvirt.close)
        self.cloud = openstack.connect()
        self.compute = self.cloud.compute
        # Whose events tell why they failed, among other things
        self.compute.default_microversion = '2.100'
        if self.variant is not None:
            self.configure(self.variant)

    # The harness

    def harness(self, *words):
        """Run ``python tools/cloud``."""
        done = subprocess.run(
            [sys.executable, str(TOP / 'tools/cloud'), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def configure(self, text):
        """Let nova-compute run with this configuration; restart it if it
        does not.
        """
        there = _DROP_IN.read_text() if _DROP_IN.exists() else ''
        if text != there:
            _DROP_IN.write_text(text)
            self.harness('restart', 'nova-compute')

    @staticmethod
    def pid(service):
        """Return the process of a service of the cloud."""
        return int((FOLDER / f'run/{service}.pid').read_text())

    @staticmethod
    def log(service):
        """Return what a service has logged."""
        return (FOLDER / f'log/{service}.log').read_text(errors='replace')

    # Flavors and servers

    def flavor(self, vcpus=1, ram=64, swap=0, ephemeral=0, **specs):
        """Return a new flavor; ``hw__x`` is the key ``hw:x``.

        :param swap: MiB of a disk beside the first
        :param ephemeral: GiB of another one
        :raises openstack.exceptions.BadRequestException: by Nova's validators
        """
        specs = {
            key.replace('__', ':'): str(value) for key, value in specs.items()
        }
        made = self.compute.create_flavor(
            name=_name(self),
            vcpus=vcpus,
            ram=ram,
            disk=0,
            swap=swap,
            ephemeral=ephemeral,
        )
        self.addCleanup(self.compute.delete_flavor, made)
        if specs:
            self.compute.create_flavor_extra_specs(made, specs)
        return made

    def pinned(self, vcpus=1, ram=64, **specs):
        """Return a new flavor of dedicated pCPUs."""
        return self.flavor(vcpus, ram, hw__cpu_policy='dedicated', **specs)

    def image(self, **properties):
        """Return the name of a new image like ``blank``, with properties."""
        made = self.cloud.image.create_image(
            _name(self),
            filename=str(FOLDER.parent / 'tiny-guest/disk0.img'),
            disk_format='raw',
            container_format='bare',
            wait=True,
            **properties,
        )
        self.addCleanup(self.cloud.image.delete_image, made)
        return made.name

    def create(self, flavor, image=BLANK, network=None, **more):
        """Return a new server that is not awaited; it ends with the test."""
        networks = 'none'
        if network:
            found = self.cloud.network.find_network(network)
            networks = [{'uuid': found.id}] * more.pop('nics', 1)
        server = self.compute.create_server(
            name=_name(self),
            image_id=self.cloud.image.find_image(image).id,
            flavor_id=flavor.id,
            networks=networks,
            **more,
        )
        self.addCleanup(self.delete, server)
        return server

    def boot(self, flavor, image=BLANK, network=None, **more):
        """Return a new server that is ACTIVE."""
        server = self.create(flavor, image, network, **more)
        return self.wait(server)

    def wait(self, server, status='ACTIVE', deadline=120):
        """Return the server when it has a status and no task."""
        end = time.monotonic() + deadline
        while True:
            server = self.compute.get_server(server.id)
            if server.status == status and server.task_state is None:
                return server
            if server.status == 'ERROR' or time.monotonic() > end:
                self.fail(
                    f'{server.status}, {server.task_state}, not {status}: '
                    f'{self.why(server)}'
                )
            time.sleep(0.3)

    def settled(self, server, deadline=120):
        """Return the server when it is ACTIVE, or is not going to be."""
        end = time.monotonic() + deadline
        while (
            server.status not in ('ACTIVE', 'ERROR') and time.monotonic() < end
        ):
            time.sleep(0.3)
            server = self.compute.get_server(server.id)
        return server

    def refused(self, flavor, **more):
        """Return why a server of a flavor cannot be had."""
        server = self.settled(self.create(flavor, **more))
        self.assertEqual('ERROR', server.status, flavor.name)
        names = [domain.name() for domain in self.libvirt.listAllDomains()]
        self.assertNotIn(server.instance_name, names)
        return self.why(server)

    def why(self, server):
        """Return a server's fault, and what its events tell."""
        fault = (self.compute.get_server(server.id).fault or {}).get('message')
        told = [fault or '']
        for action in self.compute.server_actions(server.id):
            whole = self.compute.get_server_action(
                action.request_id, server.id
            )
            told += [
                event.get('details') or ''
                for event in whole.events or ()
                if event.get('result') == 'Error'
            ]
        return '\n'.join(dict.fromkeys(told))

    def delete(self, *servers):
        """Delete servers and wait until they are gone."""
        import openstack

        for server in servers:
            self.compute.delete_server(server.id, ignore_missing=True)
        for server in servers:
            with contextlib.suppress(openstack.exceptions.NotFoundException):
                self.compute.wait_for_delete(server, interval=0.3, wait=120)
            # One that says DELETED may still be on its host, and one that is
            # gone may still hold what it had.
            while self.compute.find_server(server.id) or self.allocations(
                server
            ):
                time.sleep(0.3)

    def allocations(self, server):
        """Return what a server holds in placement."""
        found = self.cloud.placement.get(f'/allocations/{server.id}').json()
        return found['allocations']

    # Guests

    def domain(self, server):
        """Return a server's domain."""
        return self.libvirt.lookupByUUIDString(server.id)

    def xml(self, server):
        """Return a server's live XML, parsed."""
        from lxml import etree

        return etree.fromstring(self.domain(server).XMLDesc())

    def pins(self):
        """Return the pCPUs of each dedicated guest, by UUID, as libvirt and
        the kernel have them.
        """
        import libvirt
        from lxml import etree

        held = {}
        for domain in self.libvirt.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        ):
            try:
                found = etree.fromstring(domain.XMLDesc())
                _info, maps = domain.vcpus()
            except libvirt.libvirtError:  # It has ended
                continue
            uuid = domain.UUIDString()
            held[uuid] = [
                next(i for i, held in enumerate(maps[vcpu]) if held)
                for vcpu in (
                    int(pin.get('vcpu'))
                    for pin in found.iterfind('cputune/vcpupin')
                    if pin.get('cpuset').isdigit()
                )
                if sum(maps[vcpu]) == 1
            ]
        return held

    def assert_disjoint(self):
        """See that no pCPU is in two dedicated guests."""
        held = self.pins()
        counts = Counter(cpu for cpus in held.values() for cpu in cpus)
        self.assertEqual([], [cpu for cpu, n in counts.items() if n > 1], held)
        return held

    def audit(self, server, *words, status=0):
        """Return the findings of ``kvm-tuning guest audit``, by address;
        there are some, and none is an error.
        """
        done = self.tool(
            'guest', 'audit', server.id, '-f', 'json', *words, status=status
        )
        (guest,) = json.loads(done)['guests']
        self.assertTrue(guest['findings'], done)
        return {each['address']: each for each in guest['findings']}

    def faults(self, server, *words):
        """Return the addresses at which an audit finds anything wrong."""
        return [
            address
            for address, each in self.audit(server, *words).items()
            if each['severity'] not in ('ok', 'info')
        ]

    def clean(self, server, *words):
        """See that an audit finds nothing wrong, and all that there is but
        what only the guest knows.
        """
        faults = self.faults(server, *words)
        self.assertEqual(
            [], [at for at in faults if not at.startswith('guest/')]
        )

    def tool(self, *words, status=0):
        """Return what the installed ``kvm-tuning`` prints."""
        done = subprocess.run(
            ['kvm-tuning', *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=FOLDER,
        )
        self.addDetail(
            f'kvm-tuning {" ".join(words)}',
            text_content(f'{done.returncode}\n{done.stdout}\n{done.stderr}'),
        )
        self.assertEqual(status, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def until_ready(self, server, deadline=120):
        """Wait until the guest says that it has come up."""
        end = time.monotonic() + deadline
        while READY not in self.console(server):
            self.assertTrue(time.monotonic() < end, self.console(server))
            time.sleep(0.5)

    @staticmethod
    def console(server):
        """Return what a guest has written on its console."""
        path = FOLDER / f'state/nova/instances/{server.id}/console.log'
        return path.read_text(errors='replace') if path.exists() else ''


def _name(test):
    """Return a name that no run before has left."""
    return f'{test.id().rpartition(".")[2]}-{uuid.uuid4().hex[:8]}'
