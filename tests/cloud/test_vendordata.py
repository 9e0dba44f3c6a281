"""The vendordata service, asked by all kinds of clients, and by Nova."""

import http.client
import json
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time
import uuid

import fixtures
from testtools.content import text_content
from testtools.matchers import LessThan

from tests.cloud.base import DEDICATED, FOLDER, NETWORK, CloudTest

SAMPLES = Path(sys.prefix) / 'etc/kvm_tuning/vendordata'
PORT = 8089
#: Seconds in which anybody has an answer.
BOUND = 5
#: What an operator puts in the place of the samples' own words.
OURS = {
    'http://controller:5000': 'http://127.0.0.1:5000',
    'project_name = service': 'project_name = admin',
    'password = PASSWORD': 'password = secret',
}
TUNED = {'kvm__guest_tuning': 'true', 'kvm__cpu_locality': 'l3'}


def sample(name, **more):
    """Return a shipped file with this cloud's words in it."""
    text = (SAMPLES / name).read_text()
    for old, new in {**OURS, **more}.items():
        if old not in text:
            raise AssertionError(f'{name} has no {old!r}')
        text = text.replace(old, new)
    return text


class Service(fixtures.Fixture):
    """The service, as the documentation has it."""

    def _setUp(self):
        home = Path(self.useFixture(fixtures.TempDir()).path)
        configuration = home / 'vendordata.conf'
        configuration.write_text(
            sample(
                'vendordata.conf',
                **{
                    'cloud = kvm-tuning\n': '',
                    'username = kvm-tuning': 'username = admin',
                    'memcached_servers = controller:11211\n': '',
                },
            )
        )
        self.log = FOLDER / 'log/vendordata.log'
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, '-m', 'kvm_tuning.wsgi.serve',
                    '--config-file', str(configuration),
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.addCleanup(self.process.wait, 20)
        self.addCleanup(self.end)
        end = time.monotonic() + 60
        while 'listening on' not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.1)

    def tell(self, how):
        """Send a signal to all of its processes."""
        os.killpg(self.process.pid, how)

    def end(self):
        """End it, whether or not it stands still."""
        if self.process.poll() is None:
            self.tell(signal.SIGCONT)
            self.tell(signal.SIGTERM)
            self.process.wait(20)


class VendordataTest(CloudTest):
    """Gunicorn, keystonemiddleware and openstacksdk, in a real cloud."""

    variant = DEDICATED + sample('nova.conf', **{
        'username = nova': 'username = admin',
    }) if SAMPLES.exists() else None  # fmt: skip

    def setUp(self):
        super().setUp()
        self.service = self.useFixture(Service())
        self.addOnException(
            lambda _info: self.addDetail(
                'vendordata', text_content(self.service.log.read_text())
            )
        )

    def post(self, body, token=None, length=None):
        """Return the status and the document of an answer."""
        begun = time.monotonic()
        client = http.client.HTTPConnection('127.0.0.1', PORT, timeout=20)
        client.putrequest('POST', '/')
        client.putheader('Content-Type', 'application/json')
        client.putheader('Content-Length', str(length or len(body)))
        if token != '':
            client.putheader('X-Auth-Token', token or self.cloud.auth_token)
        client.endheaders()
        try:
            client.send(body.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has answered before it had all of it
        answer = client.getresponse()
        text = answer.read()
        client.close()
        self.assertThat(time.monotonic() - begun, LessThan(BOUND))
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def tenant(self):
        """Return the token of a user who is nobody special."""
        import openstack

        identity = self.cloud.identity
        name = f'tenant-{uuid.uuid4().hex[:8]}'
        project = identity.create_project(name=name)
        self.addCleanup(identity.delete_project, project)
        user = identity.create_user(
            name=name, password=name, default_project_id=project.id
        )
        self.addCleanup(identity.delete_user, user)
        identity.assign_project_role_to_user(
            project, user, identity.find_role('member')
        )
        return openstack.connect(
            auth_url=os.environ['OS_AUTH_URL'],
            username=name,
            password=name,
            project_name=name,
            user_domain_name='Default',
            project_domain_name='Default',
        ).auth_token

    def told(self, server):
        """Return what a server's config drive has for cloud-init."""
        drive = FOLDER / f'state/nova/instances/{server.id}/disk.config'
        done = subprocess.run(
            [
                'isoinfo', '-R', '-i', str(drive),
                '-x', '/openstack/latest/vendor_data2.json',
            ],
            capture_output=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)['cloud-init']

    def queues(self, server):
        """Return the MAC of a server's NIC and its queues: of its domain."""
        nic = self.xml(server).find('devices/interface')
        driver = nic.find('driver')
        return f'{nic.find("mac").get("address")}={driver.get("queues")}'

    def test_who_asks_and_what(self):
        """A server's own tuning for who may ask, 4xx for all others."""
        flavor = self.pinned(2, kvm__vif_queues='2', **TUNED)
        server = self.boot(flavor, network=NETWORK)
        body = json.dumps({'instance-id': server.id})
        status, answer = self.post(body)
        self.assertEqual(200, status)
        self.assertTrue(answer.startswith('#cloud-boothook\n'), answer)
        self.assertIn(f"told='{self.queues(server)}'", answer)
        nobody = json.dumps({'instance-id': str(uuid.uuid4())})
        huge = json.dumps({'instance-id': server.id, 'x': 'x' * 300_000})
        for wanted, given in (
            (404, {'body': nobody}),
            (401, {'body': body, 'token': ''}),
            (401, {'body': body, 'token': 'wrong'}),
            (403, {'body': body, 'token': self.tenant()}),
            (413, {'body': '', 'length': 10 << 30}),
            (413, {'body': huge}),
            (400, {'body': '{'}),
            (400, {'body': '[]'}),
            (400, {'body': '{}'}),
            (400, {'body': json.dumps({'instance-id': '../servers'})}),
            (400, {'body': '[' * 100_000}),
        ):
            found = self.post(**given)[0]
            self.assertEqual(wanted, found, str(given)[:200])
        self.assertEqual(200, self.post(body)[0])

    def test_novas_config_drive(self):
        """Nova asks it while it makes a server, and has an answer or none:
        the server comes up in either case.
        """
        flavor = self.pinned(2, kvm__vif_queues='2', **TUNED)
        server = self.boot(flavor, network=NETWORK, config_drive=True)
        self.clean(server)
        # Nova tells no address while it builds: the guest is to look for
        # NICs itself
        told = self.told(server)
        self.assertIn("told=''", told)
        self.assertIn('ethtool -L', told)
        status, later = self.post(json.dumps({'instance-id': server.id}))
        self.assertEqual(200, status)
        self.assertEqual(
            told.replace("told=''", f"told='{self.queues(server)}'"), later
        )
        self.delete(server)
        other = self.pinned(**TUNED)
        # It stands still: Nova's patience ends
        self.service.tell(signal.SIGSTOP)
        server = self.boot(other, network=NETWORK, config_drive=True)
        self.assertEqual({}, self.told(server))
        self.clean(server)
        self.delete(server)
        self.service.end()
        with socket.socket() as nobody:
            self.assertNotEqual(0, nobody.connect_ex(('127.0.0.1', PORT)))
        server = self.boot(other, network=NETWORK, config_drive=True)
        self.assertEqual({}, self.told(server))
        self.clean(server)
