"""One fuzzer a kind of input. Each returns whether an input was accepted;
errors of ours are refusals, and everything else is a defect.
"""

import io
import json
import os

from lxml import etree

from kvm_tuning import loader
from kvm_tuning.core import claims, documents, domain, plan, request
from kvm_tuning.core.claims import Record
from kvm_tuning.core.documents import Image
from kvm_tuning.core.exceptions import InvalidDocument, KvmTuningError
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Capabilities, Policy, Site
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.guests import vf_journal
from kvm_tuning.host.inventory import reader
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal_text
from kvm_tuning.host.prep.kinds import table
from kvm_tuning.wsgi.application import Application
from tests.fixtures import whole_host
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.scenarios import GUESTS, PROFILES
from tests.hostile import mutate

KNOBS = loader.knobs(loader.load())
HOOKS = loader.load()
XML = [path.read_text() for path in sorted(GUESTS.glob('*.xml'))]
TAKEN = frozenset({2, 3})
SITE = Site(
    FakeHost(cells=2, l3_per_cell=2, cores=4, threads=2).inventory(),
    Ledger((Claim('other', 'other', TAKEN),)),
    Capabilities(),
    Policy(frozenset(range(2, 24)), frozenset({0, 1})),
)
SERVER = '6c5ed1bd-a3f8-4a4e-b8c5-a1b2c3d4e5f6'


def holds(made, guest):
    """:raises AssertionError: a plan breaks what every plan keeps."""
    pins = list(made.placement.pins.values())
    assert len(pins) == len(set(pins)), 'one pCPU twice'
    assert not made.placement.held & TAKEN, 'a pCPU of another guest'
    tuned = domain.tune(guest, made)
    assert domain.undo(domain.read(tuned)) == guest.xml, 'not undone'


class Requests:
    """Flavors and images, planned for a guest where they are accepted."""

    def __init__(self, part):
        self.part = part
        names = sorted(KNOBS)
        self.values = ['true', 'false', '1', '2', 'auto', 'strict', 'l3', '0']
        self.values += ['large', '2048', 'vhost', 'native', 'none', 'latency']
        self.names = names

    def __call__(self, rng):
        specs = {
            rng.choice(self.names): rng.choice(
                (rng.choice(self.values), mutate.text(rng, 'true'))
            )
            for _each in range(rng.randrange(6))
        }
        good = {
            'flavor': {'name': 'f', 'id': '1', 'vcpus': rng.randrange(1, 6),
                       'ram': 256, 'disk': 0, 'properties': specs},
            'image': {'name': 'i', 'id': '1', 'properties': {
                'hw_cpu_policy': 'dedicated', 'os_type': 'windows',
                'hw_cpu_sockets': '1', 'hw_vif_multiqueue_enabled': 'true'}},
        }  # fmt: skip
        text = json.dumps(good[self.part])
        if rng.random() < 0.5:
            changed = mutate.value(rng, good[self.part])
            text = json.dumps(changed)
        elif rng.random() < 0.5:
            text = mutate.text(rng, text)
        if self.part == 'flavor':
            flavor, image = documents.flavor(text, 'x'), None
        else:
            image = documents.image(text, 'x')
            flavor = documents.flavor(json.dumps(good['flavor']), 'x')
        asked = request.read(flavor, image, KNOBS, PROFILES)
        guest = domain.read(rng.choice(XML))
        made = plan.make(HOOKS, asked, guest.guest, SITE)
        holds(made, guest)
        return True


def domains(rng):
    """Damage the XML of a guest."""
    found = domain.look(mutate.text(rng, rng.choice(XML)))
    found.current.verify()
    assert domain.undo(found)
    return True


class Receipts:
    """Damaged receipts of tuned guests: the pins still hold."""

    def __init__(self):
        flavor = documents.flavor(json.dumps({
            'name': 'f', 'id': '1', 'vcpus': 2, 'ram': 256, 'disk': 0,
            'properties': {
                'hw:cpu_policy': 'dedicated', 'kvm:disk_cache': 'none',
                'kvm:iothreads': '2', 'kvm:emulator_cpus': 'housekeeping',
            },
        }), 'x')  # fmt: skip
        asked = request.read(flavor, Image('i', '1', {}), KNOBS, PROFILES)
        self.good = []
        for xml in XML:
            guest = domain.read(xml)
            try:
                made = plan.make(HOOKS, asked, guest.guest, SITE)
                self.good.append(domain.tune(guest, made))
            except KvmTuningError:
                # Not every guest can have it.
                continue
        assert self.good

    def __call__(self, rng):
        xml = rng.choice(self.good)
        start = xml.index('<kvm-tuning:receipt')
        end = xml.index('</kvm-tuning:receipt>')
        damaged = xml[:start] + mutate.text(rng, xml[start:end]) + xml[end:]
        try:
            found = domain.look(damaged)
        except InvalidDocument:
            found = None
        record = Record('g', 'u', damaged, None)
        ledger = claims.read([record], SITE.inventory.online, None)
        if found is not None:
            for cpus in found.current.pins.values():
                if len(cpus) == 1:
                    assert cpus <= ledger.pcpus | {99}, 'a pin does not hold'
        text = domain.undo(domain.read(damaged))
        etree.fromstring(text.encode())
        return True


class Journals:
    """Damaged journals of the host and of VFs."""

    def __init__(self, root):
        entry = {
            'kind': 'sysfs', 'name': 'sys/kernel/mm/ksm/run',
            'concern': 'ksm', 'title': 'KSM', 'boot': 'b', 'place': '',
            'before': '0', 'wanted': '1', 'got': '1', 'via': ['2'],
            'state': 'done', 'volatile': True,
        }  # fmt: skip
        self.host = {'version': 1, 'entries': [entry, entry]}
        self.vfs = {'version': 1, 'entries': [{
            'owner': 'u', 'guest': 'g', 'pf': '0000:11:00.0', 'index': 1,
            'name': 'vlan', 'before': '0', 'wanted': '7', 'boot': 'b',
        }]}  # fmt: skip
        self.root = root

    def __call__(self, rng):
        good = rng.choice((self.host, self.vfs))
        text = json.dumps(mutate.value(rng, good), indent=1)
        if rng.random() < 0.5:
            text = mutate.text(rng, text)
        raw = text.encode('utf-8', 'surrogatepass')
        if good is self.host:
            # A longer file is refused before anything of it is parsed.
            if len(raw) > LARGE_BYTES:
                return False
            found = journal_text.parse(raw)
            again = journal_text.parse(
                journal_text.encode(
                    found.version, found.entries, found.strange
                ).encode()
            )
            assert again.entries == found.entries, 'an entry was lost'
            return not found.strange
        path = os.path.join(self.root, 'vfs.json')
        with open(path, 'wb') as file:
            file.write(raw)
        _entries, strange = vf_journal._read(Tree(self.root), 'vfs.json')
        return not strange


class Trees:
    """Damaged files of /sys, /proc, /etc and /boot, one at a time."""

    def __init__(self, root, parts):
        whole_host.build(root)
        self.root = root
        self.files = []
        for part in parts:
            for where, _folders, names in os.walk(os.path.join(root, part)):
                self.files += [os.path.join(where, name) for name in names]
        self.files = sorted(f for f in self.files if not os.path.islink(f))
        assert self.files

    def __call__(self, rng):
        path = rng.choice(self.files)
        with open(path, 'rb') as file:
            before = file.read()
        text = mutate.text(rng, before.decode('utf-8', 'replace'))
        try:
            with open(path, 'wb') as file:
                file.write(text.encode('utf-8', 'surrogatepass'))
            self.read()
        finally:
            with open(path, 'wb') as file:
                file.write(before)
        return True

    def read(self):
        """Read all that apply and audit read."""
        reader.read(self.root)


class BootEntries(Trees):
    """Damaged boot entries and files of settings, by every kind's reader."""

    NAMES = (
        'boot/loader/entries/abc-6.12.0.conf', 'etc/kernel/cmdline',
        'etc/default/grub.d/kvm-tuning.cfg', 'kvm.halt_poll_ns',
        'sys/kernel/mm/ksm/run', 'ksm.service', 'affinity',
    )  # fmt: skip

    def read(self):
        host = Host(Tree(self.root))
        for kind in table.KINDS.values():
            for name in self.NAMES:
                kind.read(host, name)


def vendordata(rng):
    """Damaged requests of the vendordata service: 4xx, or {}."""
    good = {'instance-id': SERVER, 'project-id': 'p', 'metadata': {}}
    body = json.dumps(mutate.value(rng, good))
    if rng.random() < 0.5:
        body = mutate.text(rng, body)
    raw = body.encode('utf-8', 'surrogatepass')
    environ = {
        'REQUEST_METHOD': rng.choice(('POST', 'POST', 'POST', 'GET', '')),
        'CONTENT_LENGTH': rng.choice(
            (str(len(raw)), str(len(raw)), '', '-1', '9' * 30, '\u0661', '1')
        ),
        'wsgi.input': io.BytesIO(raw),
        'HTTP_X_ROLES': mutate.text(rng, 'service'),
        'HTTP_X_IDENTITY_STATUS': rng.choice(('Confirmed', 'Invalid')),
    }
    answered = []
    parts = Application(
        lambda server: () if server == SERVER else None,
        rng.choice((None, ['service'])),
        65536,
        1.0,
    )(environ, lambda status, headers: answered.append(status))
    json.loads(b''.join(parts))
    (status,) = answered
    assert status[0] in '24', status
    return status[0] == '2'


def kinds(folder):
    """Return the fuzzers, by the name of their kind."""

    def place(name):
        path = os.path.join(folder, name)
        os.mkdir(path)
        return path

    return {
        'flavors': Requests('flavor'),
        'images': Requests('image'),
        'domains': domains,
        'receipts': Receipts(),
        'journals': Journals(place('journals')),
        'sys and proc': Trees(place('sys'), ('sys', 'proc')),
        'etc and boot': BootEntries(place('etc'), ('etc', 'boot')),
        'vendordata': vendordata,
    }
