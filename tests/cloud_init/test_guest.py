"""A Debian guest with cloud-init is told by Nova's vendordata what to do.

All of it is real but Nova: the guest is tuned by a flavor, the service reads
its receipt, cloud-init in the guest reads the config drive that Nova would
have written.
"""

import json
from pathlib import Path
import re
import shutil
import subprocess
import tempfile
import threading
import time
from urllib import request
import uuid
from wsgiref import simple_server

from lxml import etree
import testtools
from testtools.matchers import Contains

from kvm_tuning.conf import vendordata
from kvm_tuning.wsgi import service
from tests.cloud_init.base import folder
from tests.fixtures import tiny_guest
from tests.fixtures.command import Command

#: Seconds until a guest must have booted, looked and powered off: about 60
#: under TCG on two idle CPUs.
DEADLINE = 1800
#: Emulated processors have no time for what serves nobody here.
KERNEL_ARGS = (
    'root=/dev/vda rw panic=1 net.ifnames=0 mitigations=off nokaslr quiet '
    'lsm=capability nowatchdog'
)
VCPUS = 2
QUEUES = 2


class Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *_args):
        pass


class GuestTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.image = folder('guest')
        self.libvirt = self.useFixture(tiny_guest.Libvirt()).connection
        self.home = Path(
            tempfile.mkdtemp(prefix='kvm-tuning-test-', dir='/var/tmp')
        )
        self.addCleanup(shutil.rmtree, self.home)
        self.home.chmod(0o755)
        self.command = self.useFixture(Command())
        self.uuid = str(uuid.uuid4())
        self.name = f'kvm-tuning-{self.uuid[:8]}'
        self.console = self.write('console.log', '')
        self.config = self.write(
            'c.conf', f'[libvirt]\nlock_path = {self.home}\n'
        )

    def write(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run_tool(self, *command):
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    def define(self):
        """Define the guest, and tune it by a flavor."""
        xml = tiny_guest.TEMPLATE.read_text(encoding='utf-8')
        for key, value in {
            '@TYPE@': 'qemu',
            '@NAME@': self.name,
            '@MAC@': '52:54:00:4b:54:01',
            '@CONSOLE@': str(self.console),
            "<memory unit='MiB'>256<": "<memory unit='MiB'>1024<",
            '<vcpu>2<': f'<uuid>{self.uuid}</uuid><vcpu>{VCPUS}<',
            'quiet panic=1': KERNEL_ARGS,
            "'raw'/>\n      <source file='@DIR@/disk0.img'": (
                f"'qcow2'/>\n      <source file='{self.home}/disk0.img'"
            ),
            '@DIR@': str(self.home),
        }.items():
            self.assertIn(key, xml)
            xml = xml.replace(key, value)
        for name, file in (('kernel', 'vmlinuz'), ('initrd', 'initrd')):
            shutil.copy(self.image / file, self.home / name)
        self.run_tool(
            'qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b',
            str(self.image / 'disk.img'), str(self.home / 'disk0.img'),
        )  # fmt: skip
        self.domain = self.libvirt.defineXML(xml)
        self.addCleanup(self.domain.undefine)
        flavor = self.write(
            'flavor.json',
            json.dumps(
                {
                    'name': 'guest-init',
                    'vcpus': VCPUS,
                    'ram': 1024,
                    'properties': {
                        'kvm:guest_tuning': 'true',
                        'kvm:vif_queues': str(QUEUES),
                    },
                }
            ),
        )
        done = self.command.run(
            '--config-file', str(self.config), 'guest', 'tune', self.name,
            '--flavor', str(flavor), '-f', 'json',
        )  # fmt: skip
        self.assertEqual(0, done.status, done)

    def ask(self):
        """Return what the service answers Nova."""
        path = self.write(
            'vendordata.conf',
            '[vendordata]\nsource = libvirt\nauth_strategy = noauth\n',
        )
        application = service.make(vendordata.load([str(path)]))
        server = simple_server.make_server(
            '127.0.0.1', 0, application, handler_class=Quiet
        )
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        body = {'instance-id': self.uuid, 'project-id': 'p', 'hostname': 'g'}
        asked = request.Request(
            f'http://127.0.0.1:{server.server_port}/',
            json.dumps(body).encode(),
            {'Content-Type': 'application/json'},
        )
        with request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def seed(self, answer, user_data='#cloud-config\n{}\n'):
        """Make the config drive as Nova does, with the service's answer."""
        latest = 'drive/openstack/latest'
        self.write(
            f'{latest}/meta_data.json',
            json.dumps({'uuid': self.uuid, 'name': 'g', 'hostname': 'g'}),
        )
        self.write(f'{latest}/user_data', user_data)
        # Nova's form: the name of the target, and what it has answered.
        self.write(
            f'{latest}/vendor_data2.json', json.dumps({'cloud-init': answer})
        )
        disk = self.home / 'disk1.img'
        with open(disk, 'wb') as file:
            file.truncate(4 << 20)
        self.run_tool('mke2fs', '-q', '-F', '-L', 'config-2', '-d',
                      str(self.home / 'drive'), str(disk))  # fmt: skip

    def boot(self):
        """Run the guest until it powers itself off; return what it saw."""
        begun = time.monotonic()
        self.addCleanup(self._end)
        self.domain.create()
        xml = etree.fromstring(self.domain.XMLDesc())
        while self.domain.isActive():
            if time.monotonic() - begun > DEADLINE:
                break
            time.sleep(1)
        text = self.console.read_text(errors='replace')
        self.addDetail('console', testtools.content.text_content(text))
        self.assertIn('LOOK end', text, 'the guest did not come to its end')
        self.seconds = time.monotonic() - begun
        return xml, text

    def _end(self):
        if self.domain.isActive():
            self.domain.destroy()

    @staticmethod
    def look(text, when):
        """Return what the guest has said, by its first words."""
        found = re.findall(rf'LOOK {when} (.*?)\r?\n', text)
        return [' '.join(line.split()) for line in found]

    def status(self, text):
        (line,) = re.findall(r'^(\{.*"boot_status_code".*\})', text, re.M)
        return json.loads(line)

    def test_queues_in_the_guest_are_those_of_the_domain(self):
        self.define()
        answer = self.ask()
        self.assertThat(answer, Contains(f'52:54:00:4b:54:01={QUEUES}'))
        # A tenant's lists do not replace it.
        self.seed(
            answer,
            '#cloud-config\nbootcmd: ["true"]\nruncmd: ["true"]\n'
            'write_files: [{path: /tmp/x, content: x}]\n',
        )
        xml, text = self.boot()
        (driver,) = xml.iterfind('devices/interface/driver')
        self.assertEqual(str(QUEUES), driver.get('queues'))
        before, after = self.look(text, 'before'), self.look(text, 'after')
        mac = '52:54:00:4b:54:01'
        self.assertIn(f'queues {mac} {QUEUES} 1', before)
        self.assertIn(f'queues {mac} {QUEUES} {QUEUES}', after)
        self.assertIn('scheduler vda none [mq-deadline]', before)
        self.assertIn('thp [always] madvise never', before)
        for disk in ('vda', 'vdb'):
            self.assertIn(f'scheduler {disk} [none] mq-deadline', after)
        self.assertIn('thp always [madvise] never', after)
        self.assertIn('irqbalance inactive', before)
        self.assertIn('irqbalance active', after)
        status = self.status(text)
        self.assertEqual(('done', []), (status['status'], status['errors']))
        self.assertEqual({}, status['recoverable_errors'])
        self.assertThat(text, Contains(f'eth0: {QUEUES} of {QUEUES} queues'))

    def test_without_an_answer_the_guest_boots_all_the_same(self):
        self.define()
        # What Nova writes for any error of the service.
        self.seed({})
        _xml, text = self.boot()
        self.assertEqual(self.look(text, 'before'), self.look(text, 'after'))
        self.assertEqual('done', self.status(text)['status'])
