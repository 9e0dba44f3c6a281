"""systemd's own programs judge which files count, and in which order."""

import json
import os
import random
import shutil
import subprocess

import fixtures
import testtools
from testtools.matchers import Equals, GreaterThan

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.boot import systemd_conf
from kvm_tuning.host.prep.kinds import boot_entries
from tests.fixtures import killed

_DIRECTORIES = (
    'etc/systemd',
    'run/systemd',
    'usr/local/lib/systemd',
    'usr/lib/systemd',
)
_NAMES = ('a.conf', 'B.conf', 'kvm-tuning.conf', 'zz.conf', '50-x.conf.bak')
_OPTIONS = ('root=/dev/vda ro', 'quiet', 'a="b c"', '', '  iommu=pt', 'x -- y')


class JudgeTest(testtools.TestCase):
    COUNT = 1000
    PROGRAM = ''

    def setUp(self):
        super().setUp()
        if shutil.which(self.PROGRAM) is None:
            self.skipTest(f'{self.PROGRAM} is not there')

    def directory(self):
        return self.useFixture(fixtures.TempDir(killed.SCRATCH)).path

    def asked(self, command, **environment):
        return subprocess.run(
            command,
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        ).stdout.decode()


class TestOrder(JudgeTest):
    PROGRAM = 'systemd-analyze'

    def test_files_and_drop_ins(self):
        several = 0
        for seed in range(self.COUNT):
            chance = random.Random(seed)
            root = self.directory()
            for directory in _DIRECTORIES:
                places = ['system.conf'] + [
                    f'system.conf.d/{name}' for name in _NAMES
                ]
                for place in places:
                    if chance.random() < 0.3:
                        path = f'{root}/{directory}/{place}'
                        os.makedirs(os.path.dirname(path), exist_ok=True)
                        with open(path, 'w') as stream:
                            stream.write('[Manager]\n')
            answer = self.asked(
                [
                    'systemd-analyze',
                    f'--root={root}',
                    'cat-config',
                    'systemd/system.conf',
                ]
            )
            real = [
                line.removeprefix(f'# {root}/')
                for line in answer.splitlines()
                if line.startswith(f'# {root}/')
            ]
            ours = systemd_conf.files(Tree(root))
            several += len(ours) > 2
            self.assertThat(ours, Equals(real), str(seed))
            shutil.rmtree(root)
        self.assertThat(several, GreaterThan(self.COUNT // 4))


class TestEntries(JudgeTest):
    """bootctl, on a partition that is mounted in a namespace of its own."""

    PROGRAM = 'bootctl'
    _SCRIPT = """
mount -t tmpfs none "$1" && cp -r "$2/." "$1" &&
  bootctl --esp-path="$1" list --json=short
"""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')

    def listed(self, origin):
        target = self.directory()
        answer = self.asked(
            ['unshare', '-m', 'sh', '-c', self._SCRIPT, 'sh', target, origin],
            SYSTEMD_RELAX_ESP_CHECKS='1',
        )
        if not answer:
            self.skipTest('a partition cannot be mounted here')
        # Before systemd 253 each entry is a document of its own.
        text = answer.strip().replace('}\n{', '},{')
        found = json.loads(text if text.startswith('[') else f'[{text}]')
        return {
            each['id']: each.get('options', '').split()
            for each in found
            if each['id'].endswith('.conf')
        }

    def test_options_of_entries(self):
        root = self.directory()
        base = f'{root}/boot/loader/entries'
        os.makedirs(base)
        for seed in range(self.COUNT):
            chance = random.Random(seed)
            lines = ['title x', '# options comment=1', 'linux /linux']
            lines += [
                chance.choice(('options ', 'options\t')) + words
                for words in chance.choices(_OPTIONS, k=chance.randint(1, 3))
            ]
            chance.shuffle(lines)
            with open(f'{base}/{seed:04}.conf', 'w') as stream:
                stream.write('\n'.join(lines) + '\n')
        tree = Tree(root)
        ours = {
            name.rpartition('/')[2]: (boot_entries.read(tree, name) or '')
            for name in boot_entries.names(tree)
        }
        self.assertThat(
            {name: text.split() for name, text in ours.items()},
            Equals(self.listed(f'{root}/boot')),
        )
