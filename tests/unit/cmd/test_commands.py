"""Every command on trees and files, without libvirt."""

import json
import os
import subprocess
import sys

import fixtures
import testtools

from kvm_tuning import loader
from kvm_tuning.cmd import command
from kvm_tuning.core import domain, exceptions
from tests.fixtures import domain_store, memory_dir
from tests.fixtures.command import Command
from tests.fixtures.fake_host import FakeHost, FakePf

HOST = FakeHost(
    cells=2, l3_per_cell=2, cores=4, threads=2, pfs=(FakePf('eth0', vfs=2),)
)
NAMES = (
    'flavor check',
    'guest audit',
    'guest list',
    'guest plan',
    'guest repin',
    'guest start',
    'guest tune',
    'guest undo',
    'host devices',
    'host topology',
    'knob list',
    'knob show',
)


class CommandTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.command = self.useFixture(Command())

    def run_command(self, *argv):
        return self.command.run(*argv)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as file:
            file.write(
                content if isinstance(content, bytes) else content.encode()
            )
        return path

    def flavor(self, vcpus=4, **specs):
        return self.write(
            'flavor.json',
            json.dumps(
                {
                    'name': 'f',
                    'id': '1',
                    'vcpus': vcpus,
                    'ram': 1024,
                    'disk': 1,
                    'properties': specs,
                }
            ),
        )

    def domain(self, vcpus=4):
        text = domain_store.xml('g', vcpus, 1024)
        return self.write('domain.xml', text)

    def host(self):
        root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        HOST.write(root)
        return root


class ApplicationTest(CommandTest):
    def test_help_names_every_command(self):
        done = self.run_command('--help')
        self.assertEqual(0, done.status)
        for name in NAMES:
            self.assertIn(f'\n  {name} ', done.stdout)

    def test_every_command_has_a_help_with_an_example(self):
        for name in NAMES:
            done = self.run_command(*name.split(), '--help')
            self.assertEqual(0, done.status, name)
            self.assertIn('Examples:\n', done.stdout)
            self.assertIn(f'  kvm-tuning {name}', done.stdout)

    def test_no_command(self):
        self.assertIn('Commands:', self.run_command().stdout)
        done = self.run_command('-v')
        self.assertEqual((2, ''), (done.status, done.stdout))

    def test_an_unknown_command(self):
        done = self.run_command('guest', 'eat')
        self.assertEqual((2, ''), (done.status, done.stdout))
        self.assertIn("WrongUsage: 'guest eat'", done.stderr)
        self.assertEqual(1, done.stderr.count('\n'))

    def test_an_unknown_option(self):
        self.assertEqual(2, self.run_command('knob', 'list', '-x').status)

    def test_an_unknown_column(self):
        done = self.run_command('knob', 'list', '-c', 'colour')
        self.assertEqual(2, done.status)
        self.assertIn('WrongUsage', done.stderr)

    def test_a_bug_is_one_message(self):
        self.useFixture(
            fixtures.MonkeyPatch('kvm_tuning.loader.load', lambda: 1 / 0)
        )
        done = self.run_command('knob', 'list')
        self.assertEqual(3, done.status)
        self.assertIn('InternalError: ZeroDivisionError', done.stderr)
        self.assertNotIn('Traceback', done.stderr)
        debugged = self.run_command('--debug', 'knob', 'list')
        self.assertIn('Traceback', debugged.stderr)

    def test_status_of_each_error(self):
        expected = {
            exceptions.InvalidValue: 1,
            exceptions.Exhausted: 1,
            exceptions.WrongUsage: 2,
            exceptions.HookConflict: 3,
            exceptions.LibvirtFailed: 3,
            exceptions.ConfigInvalid: 3,
        }
        for error, status in expected.items():
            self.assertEqual(status, command.status_of(error('x')), error)


class ImportsTest(testtools.TestCase):
    def test_knob_list_imports_little(self):
        self.assertEqual(set(), self.imported('knob', 'list'))

    def test_host_topology_imports_little(self):
        self.assertEqual(set(), self.imported('host', 'topology'))

    def imported(self, *argv):
        """Return what a command imports of what is slow, or may be absent."""
        script = (
            'import sys\n'
            'from kvm_tuning.cmd import main\n'
            f'status = main.main({argv!r})\n'
            'assert status == 0, status\n'
            'print(*sys.modules, file=sys.stderr)\n'
        )
        done = subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        tops = {name.partition('.')[0] for name in done.stderr.split()}
        return tops & {'libvirt', 'oslo_config', 'oslo_concurrency', 'cmd2'}


class KnobTest(CommandTest):
    def test_list_has_every_knob(self):
        done = self.run_command('knob', 'list', '-f', 'json')
        self.assertEqual(
            set(loader.knobs(loader.load())),
            {row['knob'].removesuffix('.N') for row in done.document},
        )

    def test_show(self):
        done = self.run_command('knob', 'show', 'kvm:disk_io', '-f', 'json')
        self.assertEqual('disk_io', done.document['hook'])
        self.assertIn('native', done.document['schema']['enum'])

    def test_show_a_numbered_one(self):
        done = self.run_command('knob', 'show', 'hw:numa_cpus.0')
        self.assertEqual(0, done.status)

    def test_show_an_unknown_one(self):
        done = self.run_command('knob', 'show', 'kvm:disk_oi')
        self.assertEqual(2, done.status)
        self.assertIn('did you mean kvm:disk_io?', done.stderr)


class HostTest(CommandTest):
    def test_topology(self):
        root = self.host()
        done = self.run_command('host', 'topology', '--root', root)
        self.assertEqual(0, done.status)
        for part in ('Processors', 'Sockets', 'NUMA cells', 'SMT on'):
            self.assertIn(part, done.stdout)

    def test_topology_as_documents(self):
        root = self.host()
        done = self.run_command(
            'host', 'topology', '--root', root, '-f', 'json'
        )
        self.assertEqual(32, len(done.document['cpus']))
        self.assertEqual(4, len(done.document['l3']))
        done = self.run_command(
            'host', 'topology', '--root', root, '-f', 'yaml'
        )
        self.assertIn('smt: true', done.stdout)

    def test_topology_as_values(self):
        done = self.run_command(
            'host', 'topology', '--root', self.host(), '-f', 'value',
            '-c', 'processor', '-c', 'cell',
        )  # fmt: skip
        self.assertEqual('0 0', done.stdout.splitlines()[0])
        self.assertEqual(32, len(done.stdout.splitlines()))

    def test_devices(self):
        root = self.host()
        done = self.run_command(
            'host', 'devices', '--root', root, '-f', 'json'
        )
        vfs = [d for d in done.document['devices'] if d['pf']]
        self.assertEqual(2, len(vfs))
        tree = self.run_command('host', 'devices', '--root', root, '--tree')
        self.assertIn('eth0', tree.stdout)
        table = self.run_command('host', 'devices', '--root', root)
        self.assertIn('Network interfaces', table.stdout)

    def test_no_root(self):
        done = self.run_command('host', 'topology', '--root', '/no/such')
        self.assertEqual((2, ''), (done.status, done.stdout))

    def test_an_empty_root(self):
        done = self.run_command('host', 'topology', '--root', self.folder)
        self.assertEqual(3, done.status)
        self.assertIn('InventoryUnreadable', done.stderr)


class FlavorCheckTest(CommandTest):
    def check(self, flavor, *argv):
        return self.run_command('flavor', 'check', flavor, *argv, '-f', 'json')

    def test_a_good_one(self):
        done = self.check(self.flavor(**{'hw:cpu_policy': 'dedicated'}))
        self.assertEqual(0, done.status)
        self.assertTrue(done.document['valid'])

    def test_all_that_is_wrong_at_once(self):
        flavor = self.flavor(
            **{
                'kvm:nothing': '1',
                'kvm:disk_io': 'magic',
                'kvm:emulator_cpus': 'l3',
                'hw:emulator_threads_policy': 'share',
                'hw:cpu_policy': 'dedicated',
            }
        )
        image = self.write('image.json', '{"vcpus": 1, "name": "x"}')
        done = self.check(flavor, '--image', image)
        self.assertEqual(1, done.status)
        codes = sorted(
            each['code']
            for each in done.document['findings']
            if each['severity'] == 'error'
        )
        self.assertEqual(
            [
                'ConflictingKnobs',
                'InvalidDocument',
                'InvalidValue',
                'UnknownKnob',
            ],
            codes,
        )

    def test_what_a_host_cannot_hold(self):
        flavor = self.flavor(17, **{'hw:cpu_policy': 'dedicated'})
        self.assertEqual(0, self.check(flavor).status)
        done = self.check(flavor, '--root', self.host())
        self.assertEqual(1, done.status)
        self.assertFalse(done.document['valid'])

    def test_as_a_table(self):
        done = self.run_command('flavor', 'check', self.flavor())
        self.assertIn('no errors', done.stdout)

    def test_a_profile(self):
        done = self.check(self.flavor(**{'kvm:profile': 'latency'}))
        self.assertEqual(0, done.status)
        codes = [each['code'] for each in done.document['findings']]
        self.assertIn('profile', codes)


class GuestPlanTest(CommandTest):
    def plan(self, *argv, flavor=None, domain=None, root=None):
        dedicated = {'hw:cpu_policy': 'dedicated', 'kvm:cpu_locality': 'l3'}
        return self.run_command(
            'guest', 'plan',
            '--flavor', flavor or self.flavor(**dedicated),
            '--xml', domain or self.domain(),
            '--root', root or self.host(),
            *argv,
        )  # fmt: skip

    def test_a_plan(self):
        done = self.plan()
        self.assertEqual(0, done.status, done.stderr)
        for part in (
            'Asked',
            'Demands',
            'Placement',
            'Effects',
            'Claims',
            'Consequences',
            'every-pcpu-assumed',
            'not-probed',
        ):
            self.assertIn(part, done.stdout)

    def test_a_document(self):
        done = self.plan('-f', 'json')
        plan = done.document
        self.assertEqual(4, len(plan['placement']['pins']))
        self.assertEqual(4, len(plan['claim']['pcpus']))
        self.assertEqual('g', plan['guest'])
        self.assertEqual(0, self.plan('-f', 'yaml').status)

    def test_values_are_the_effects(self):
        done = self.plan('-f', 'value', '-c', 'address')
        self.assertIn(
            "cputune/vcpupin[@vcpu='0']/@cpuset", done.stdout.splitlines()
        )

    def test_the_tuned_xml(self):
        done = self.plan('--show', 'xml')
        tuned = domain.read(done.stdout)
        self.assertEqual(4, len(tuned.current.pins))
        self.assertIsNotNone(tuned.receipt)

    def test_a_difference(self):
        done = self.plan('--show', 'diff')
        self.assertIn("+    <vcpupin vcpu='0'", done.stdout)
        self.assertTrue(done.stdout.startswith('--- g as it is\n'))

    def test_nothing_asked_is_no_difference(self):
        done = self.plan('--show', 'diff', flavor=self.flavor())
        self.assertEqual((0, ''), (done.status, done.stdout))

    def test_parts(self):
        only = self.plan('--show', 'consequences')
        self.assertNotIn('Effects', only.stdout)
        without = self.plan('--show', 'plan')
        self.assertNotIn('Consequences', without.stdout)

    def test_what_others_hold(self):
        free = self.plan('-f', 'json').document['claim']['pcpus']
        taken = ','.join(map(str, free))
        done = self.plan('--taken', taken, '-f', 'json')
        self.assertFalse(set(free) & set(done.document['claim']['pcpus']))

    def test_a_refusal(self):
        done = self.plan('--taken', '0-30')
        self.assertEqual((1, ''), (done.status, done.stdout))
        self.assertIn('Exhausted: ', done.stderr)

    def test_a_configuration_below_the_root(self):
        root = self.host()
        place = os.path.join(root, 'etc/kvm-tuning')
        os.makedirs(place)
        path = os.path.join(place, 'kvm-tuning.conf')
        with open(path, 'w') as file:
            file.write('[placement]\ndedicated_cpus = 4-7,20-23\n')
        done = self.plan('-f', 'json', root=root)
        self.assertTrue(
            set(done.document['claim']['pcpus'])
            <= {4, 5, 6, 7, *range(20, 24)}
        )
        codes = [each['code'] for each in done.document['consequences']]
        self.assertNotIn('every-pcpu-assumed', codes)
        with open(path, 'w') as file:
            file.write('[placement]\nshared_cpus = 0\n')
        refused = self.plan(root=root)
        self.assertEqual(1, refused.status)
        self.assertIn('[placement] dedicated_cpus', refused.stderr)

    def test_sets_of_the_command_line(self):
        done = self.plan('--dedicated-cpus', '8-11', '-f', 'json')
        self.assertEqual([8, 9, 10, 11], done.document['claim']['pcpus'])
        for option in ('--dedicated-cpus', '--shared-cpus', '--taken'):
            wrong = self.plan(option, '99')
            self.assertEqual((2, ''), (wrong.status, wrong.stdout))
            self.assertIn(option, wrong.stderr)

    def test_usage(self):
        flavor = self.flavor()
        self.assertEqual(
            2, self.run_command('guest', 'plan', '--flavor', flavor).status
        )
        self.assertEqual(
            2,
            self.run_command(
                'guest', 'plan', '--flavor', flavor, '--xml', 'a',
                '--domain', 'b',
            ).status,
        )  # fmt: skip


class HostileTest(CommandTest):
    """What is no input gives one message and no traceback."""

    def setUp(self):
        super().setUp()
        self.root = self.host()
        large = os.path.join(self.folder, 'large')
        with open(large, 'wb') as file:
            file.truncate(100 * 1024 * 1024)
        self.files = {
            'absent': os.path.join(self.folder, 'absent'),
            'directory': self.folder,
            'large': large,
            'binary': self.write('binary', bytes(range(256)) * 64),
            'empty': self.write('empty', ''),
            'name\0': 'nul\0name',
            'other': self.write('other', '[1, {"a": 2}]'),
            'deep': self.write('deep', '[' * 100_000),
            'entities': self.write(
                'entities',
                '<!DOCTYPE domain [<!ENTITY a SYSTEM "/etc/passwd">]>'
                '<domain><name>&a;</name></domain>',
            ),
        }

    def check(self, *argv):
        done = self.run_command(*argv)
        self.assertIn(done.status, (1, 2), (argv, done))
        self.assertNotIn('Traceback', done.stderr)
        self.assertNotIn('InternalError', done.stderr)
        return done

    def test_a_domain(self):
        for name, path in self.files.items():
            done = self.check(
                'guest', 'plan', '--flavor', self.flavor(),
                '--xml', path, '--root', self.root,
            )  # fmt: skip
            self.assertEqual('', done.stdout, name)
            self.assertEqual(1, done.stderr.count('\n'), (name, done.stderr))

    def test_a_flavor_and_an_image(self):
        domain_path = self.domain()
        for name, path in self.files.items():
            for argv in (
                ('--flavor', path),
                ('--flavor', self.flavor(), '--image', path),
            ):
                done = self.check(
                    'guest', 'plan', *argv, '--xml', domain_path,
                    '--root', self.root,
                )  # fmt: skip
                self.assertEqual('', done.stdout, name)
                self.assertEqual(1, done.stderr.count('\n'), done.stderr)

    def test_a_flavor_to_check(self):
        for path in self.files.values():
            self.check('flavor', 'check', path)
            self.check('flavor', 'check', self.flavor(), '--image', path)

    def test_a_configuration(self):
        for name, path in self.files.items():
            # Nothing at all, and a section without options, are valid.
            if name in ('empty', 'other'):
                continue
            done = self.run_command(
                '--config-file', path, 'flavor', 'check', self.flavor()
            )
            self.assertEqual((3, ''), (done.status, done.stdout), name)
            self.assertIn('ConfigInvalid', done.stderr)
            self.assertEqual(1, done.stderr.count('\n'), done.stderr)

    def test_a_libvirt_that_is_not_there(self):
        try:
            import libvirt  # noqa: F401
        except ImportError:
            self.skipTest('libvirt-python is not installed')
        done = self.run_command(
            'guest', 'list', '--connect', 'nothing:///system'
        )
        self.assertEqual((3, ''), (done.status, done.stdout))
        self.assertIn('LibvirtFailed: ', done.stderr)
        self.assertEqual(1, done.stderr.count('\n'))
