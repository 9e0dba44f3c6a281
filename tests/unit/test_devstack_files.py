"""The DevStack plugin's functions, its README and its sample flavors.

Writing nova.conf needs DevStack's tree, which KVM_TUNING_DEVSTACK names.
"""

import glob
import os
import re
import subprocess

import fixtures
import testtools

from kvm_tuning.core import cpuset
from kvm_tuning.host import configuration
from tests.fixtures import devstack
from tests.fixtures.command import Command

PLUGIN = os.path.join(devstack.TOP, 'devstack')


class FunctionsTest(testtools.TestCase):
    """What needs nothing of DevStack."""

    def call(self, line):
        script = (
            'set -o errexit; function is_service_enabled { return 1; }; '
            f'KVM_TUNING_DIR={devstack.TOP}; '
            f'source {PLUGIN}/plugin.sh stack none; {line}'
        )
        done = subprocess.run(
            ['bash', '-c', script], capture_output=True, text=True
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr), line)
        return done.stdout.strip()

    def test_our_filter_takes_the_place_of_numa_topology_filter(self):
        for before, after in (
            ('', 'KvmTuningFilter'),
            ('A,B', 'A,B,KvmTuningFilter'),
            ('A,NUMATopologyFilter,B', 'A,KvmTuningFilter,B'),
            ('NUMATopologyFilter', 'KvmTuningFilter'),
            ('A,KvmTuningFilter,B', 'A,KvmTuningFilter,B'),
            ('NUMATopologyFilter,KvmTuningFilter', 'KvmTuningFilter'),
        ):
            self.assertEqual(
                after, self.call(f'kvm_tuning_filters "{before}"')
            )

    def cpus(self, online, siblings, dedicated='auto', shared='auto'):
        folder = self.useFixture(fixtures.TempDir()).path
        os.makedirs(f'{folder}/cpu0/topology')
        for name, text in (
            ('online', online),
            ('cpu0/topology/thread_siblings_list', siblings),
        ):
            with open(f'{folder}/{name}', 'w') as file:
                print(text, file=file)
        found = self.call(
            f'dedicated={dedicated} shared={shared}; kvm_tuning_cpus {folder};'
            f' echo "$dedicated $shared"'
        ).split()
        return tuple(
            word if word == 'none' else cpuset.format(cpuset.parse(word))
            for word in found
        )

    def test_cpus_that_nobody_has_chosen(self):
        for said, found in (
            (('0-3', '0'), ('1-3', '0')),
            (('0-7', '0,4'), ('1-3,5-7', '0,4')),
            (('0-3,8-11', '0-1'), ('2-3,8-11', '0-1')),
            (('0', '0'), ('none', 'none')),
            (('0-1', '0-1'), ('none', 'none')),
            (('0-7', '0', '2-3'), ('2-3', '0-1,4-7')),
            (('0-7', '0', 'auto', '0-1'), ('2-7', '0-1')),
            (('0-7', '0', 'none', 'auto'), ('none', 'none')),
            (('0-7', '0', '4-7', '0'), ('4-7', '0')),
        ):
            self.assertEqual(found, self.cpus(*said), said)

    def nova_conf(self, text):
        """Return its directory, and the commands that name it."""
        folder = self.useFixture(fixtures.TempDir()).path
        with open(f'{folder}/conf', 'w') as file:
            file.write(text)
        tree = os.environ.get(devstack.VARIABLE)
        if not tree:
            self.skipTest(f'{devstack.VARIABLE} is unset')
        return folder, (
            f'NOVA_CONF={folder}/conf KVM_TUNING_STATE_DIR={folder}; '
            f'source {tree}/inc/ini-config; '
        )

    def test_options_are_set_and_put_back(self):
        folder, begin = self.nova_conf(
            '[a]\nx = 1\nx = {"k": "v w"}\nz = 0\n[b]\nx = 9\n'
        )
        self.call(
            f'{begin} kvm_tuning_set a x 2 "{{\\"a\\": \\"b c\\"}}"; '
            f'kvm_tuning_set c y 3; kvm_tuning_set a z 5'
        )
        with open(f'{folder}/conf') as file:
            self.assertEqual(
                '[a]\nz = 5\nx = 2\nx = {"a": "b c"}\n[b]\nx = 9\n\n[c]\n'
                'y = 3\n',
                file.read(),
            )
        # z is somebody else's by now.
        self.call(
            f'{begin} iniset $NOVA_CONF a z 7; kvm_tuning_restore $NOVA_CONF'
        )
        with open(f'{folder}/conf') as file:
            self.assertEqual(
                '[a]\nx = 1\nx = {"k": "v w"}\nz = 7\n[b]\nx = 9\n\n[c]\n',
                file.read(),
            )

    def test_values_of_others_stay_and_none_comes_twice(self):
        theirs = '[pci]\nalias = {"name": "a b"}\nalias = {"name": "b"}\n'
        folder, begin = self.nova_conf(theirs)
        add = (
            'kvm_tuning_add pci alias "{\\"name\\": \\"b\\"}" '
            '"{\\"name\\": \\"c d\\"}" -v; '
        )
        for _again in range(2):
            self.call(f'{begin} {add}')
            with open(f'{folder}/conf') as file:
                self.assertEqual(
                    f'{theirs}alias = {{"name": "c d"}}\nalias = -v\n',
                    file.read(),
                )
            # As a second run of stack.sh does first
            self.call(
                f'{begin} kvm_tuning_restore $NOVA_CONF; rm {folder}/nova.conf'
            )
            with open(f'{folder}/conf') as file:
                self.assertEqual(theirs, file.read())


class TestReadme(testtools.TestCase):
    def setUp(self):
        super().setUp()
        with open(f'{PLUGIN}/README.rst') as file:
            self.readme = file.read()
        with open(f'{PLUGIN}/settings') as file:
            self.settings = dict(
                re.findall(r'^(KVM_TUNING_\w+)=(.*)$', file.read(), re.M)
            )

    def test_every_variable_has_a_default_and_is_documented(self):
        documented = set(
            re.findall(r'^``(KVM_TUNING_\w+)``', self.readme, re.M)
        )
        self.assertEqual(set(self.settings), documented)
        for name, value in self.settings.items():
            self.assertTrue(
                value.startswith(('${' + name + ':-', '$(trueorfalse ')), name
            )

    def test_the_examples_say_what_there_is(self):
        used = set(re.findall(r'\b(KVM_TUNING_[A-Z_]+)\b', self.readme))
        self.assertEqual(set(), used - set(self.settings))
        blocks = re.findall(
            r'\[\[post-config\|\$KVM_TUNING_CONF\]\]\n(.*?)(?=\n *\[\[|\n\S)',
            self.readme,
            re.S,
        )
        self.assertTrue(blocks)
        folder = self.useFixture(fixtures.TempDir()).path
        for number, block in enumerate(blocks):
            path = f'{folder}/{number}.conf'
            with open(path, 'w') as file:
                file.write(re.sub(r'^ +', '', block, flags=re.M))
            configuration.load(folder, [path])

    def test_sample_flavors_are_sound(self):
        names = sorted(glob.glob(f'{PLUGIN}/files/flavors/*.yaml'))
        self.assertEqual(3, len(names))
        for name in names:
            done = self.useFixture(Command()).run('flavor', 'check', name)
            self.assertEqual(0, done.status, done.stdout)

    def test_scripts_are_scripts(self):
        for name in ('settings', 'plugin.sh', 'files/nova-conf.sh'):
            done = subprocess.run(
                ['bash', '-n', f'{PLUGIN}/{name}'], capture_output=True
            )
            self.assertEqual((0, b''), (done.returncode, done.stderr))
