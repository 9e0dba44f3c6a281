"""The sample flavors and images of etc/ are what the documentation says."""

import os
from pathlib import Path
import subprocess
import sys

import fixtures
import testtools
import yaml

from tests.fixtures import host_dumps, memory_dir
from tests.fixtures.command import Command
from tests.fixtures.fake_host import FakeHost, FakePf

ROOT = Path(__file__).parents[2]
ETC = ROOT / 'etc' / 'kvm_tuning'
PAGE = ROOT / 'doc' / 'source' / 'user' / 'flavors.rst'
OUTPUTS = ROOT / 'tools' / 'docs' / 'outputs.py'

#: What a check says of each flavor, with its image, on no host and on a host
#: that has everything.
CONSEQUENCES = {
    ('plain', None): (
        {'profile'},
        {'no-page-sharing', 'enable-queues', 'resize'},
    ),
    ('density', None): ({'profile'}, set()),
    ('latency', None): (
        {'profile'},
        {'dedicated-cpus', 'slower-start', 'no-page-sharing', 'resize'},
    ),
    ('database', None): (
        set(),
        {
            'dedicated-cpus', 'slower-start', 'no-page-sharing', 'resize',
            'iothreads-idle',
        },
    ),
    ('network-function', None): (
        set(),
        {
            'dedicated-cpus', 'slower-start', 'huge-pages', 'enable-queues',
            'guest-tuning', 'resize', 'unseen-siblings',
        },
    ),
    ('network-function-vf', None): (
        {'not-migratable'},
        {
            'not-migratable', 'dedicated-cpus', 'huge-pages', 'slower-start',
            'resize', 'unseen-siblings',
        },
    ),
    ('windows-desktop', 'windows'): (
        {'profile', 'guest-distribution'},
        {'emulated-nic', 'disk-bus-changed', 'no-page-sharing'},
    ),
    ('windows-desktop', 'windows-virtio'): (
        {'profile', 'guest-distribution'},
        {'windows-virtio-nic', 'windows-virtio-disk', 'no-page-sharing'},
    ),
    ('quickstart', None): (
        set(),
        {
            'dedicated-cpus', 'no-page-sharing', 'enable-queues', 'resize',
            'iothreads-idle', 'unseen-siblings',
        },
    ),
}  # fmt: skip

#: What planning on another host's files always says.
ANYWHERE = {'not-probed', 'unprobed'}

HOST = FakeHost(
    cells=2,
    l3_per_cell=2,
    cores=8,
    threads=2,
    huge_pages={2048: 8192},
    memory_gib=64,
    pfs=(FakePf('enp1s0', 0, vfs=4), FakePf('enp2s0', 1, vfs=4)),
)
CONFIG = '[placement]\ndedicated_cpus = 2-31,34-63\nshared_cpus = 0,1,32,33\n'


class SamplesTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.command = self.useFixture(Command())

    def host(self):
        root = Path(self.useFixture(fixtures.TempDir(memory_dir.place())).path)
        HOST.write(str(root))
        config = root / 'etc' / 'kvm-tuning'
        config.mkdir(parents=True)
        (config / 'kvm-tuning.conf').write_text(CONFIG)
        return str(root)

    def asked(self, flavor, image):
        yield str(ETC / 'flavors' / f'{flavor}.yaml')
        if image is not None:
            yield from ('--image', str(ETC / 'images' / f'{image}.yaml'))

    def codes(self, flavor, image, *more):
        done = self.command.run(
            'flavor', 'check', *self.asked(flavor, image), '-f', 'json', *more
        )
        self.assertEqual((0, ''), (done.status, done.stderr), done.stdout)
        return {each['code'] for each in done.document['findings']}

    def test_every_sample_is_expected_here(self):
        flavors = {path.stem for path in (ETC / 'flavors').iterdir()}
        images = {path.stem for path in (ETC / 'images').iterdir()}
        self.assertEqual(flavors, {flavor for flavor, _ in CONSEQUENCES})
        self.assertEqual(images | {None}, {i for _, i in CONSEQUENCES})

    def test_they_are_checked_without_errors(self):
        for (flavor, image), (alone, _) in CONSEQUENCES.items():
            self.assertEqual(alone, self.codes(flavor, image), flavor)

    def test_a_host_that_has_everything_keeps_them(self):
        root = self.host()
        for (flavor, image), (alone, more) in CONSEQUENCES.items():
            found = self.codes(flavor, image, '--root', root) - ANYWHERE
            # A profile's wish for NICs that an image does not have.
            found.discard('no-virtio-nic')
            # NICs of type direct stand for every kind in a check.
            self.assertEqual(alone | more, found, f'{flavor} {image}')

    def test_a_guest_of_each_is_planned_and_untuned(self):
        root = self.host()
        guest = ETC / 'samples' / 'guest.xml'
        for flavor, image in CONSEQUENCES:
            path, *more = self.asked(flavor, image)
            done = self.command.run(
                'guest', 'plan', '--flavor', path, *more, '--xml', str(guest),
                '--root', root, '-f', 'json',
            )  # fmt: skip
            self.assertEqual(0, done.status, done.stderr)
            refused = [u['knob'] for u in done.document['unkept']]
            self.assertEqual([], refused, flavor)
            vcpus = yaml.safe_load(Path(path).read_text())['vcpus']
            pinned = [
                each['address']
                for each in done.document['effects']
                if each['address'].startswith('cputune/vcpupin')
            ]
            self.assertEqual(vcpus, len(pinned), flavor)

    def test_the_documentation_explains_each(self):
        page = PAGE.read_text()
        for kind in ('flavors', 'images'):
            for path in (ETC / kind).iterdir():
                self.assertIn(f'etc/kvm_tuning/{kind}/{path.name}', page)


class OutputsTest(testtools.TestCase):
    """The outputs in the documentation are what the commands print."""

    def test_they_are_as_they_should_be(self):
        if not host_dumps.available():
            self.skipTest(f'{host_dumps.ENVIRONMENT} is not set')
        done = subprocess.run(
            [sys.executable, str(OUTPUTS), '--check'],
            env={**os.environ, 'PYTHONPATH': str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
