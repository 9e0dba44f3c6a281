"""Debian's own cloud-init runs our module."""

import json

import testtools
from testtools.matchers import Contains, Equals, Not
import yaml

from tests.cloud_init.base import TOP, Root, folder

AT_ONCE = {
    'ksm': {'run': True},
    'compaction': {'proactiveness': 5},
}
ISOLATED = {
    'cpu_isolation': {
        'housekeeping_cpus': '0-1',
        'isolate_by': ['nohz_full'],
        'systemd_affinity': False,
        'irq_affinity': False,
    }
}
#: Where user-data may put a key that cloud-init does not know.
OURS = '/etc/cloud/cloud.cfg.d/60_kvm_tuning.cfg'


class ModuleTest:
    """With the cloud-init of one suite."""

    suite = ''
    #: How often a key that cloud-init does not know is warned of.
    warns = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Skips here, where a fixture could not.
        folder(f'wheels-{cls.suite}')
        cls.base = Root(cls.suite)
        cls.base.setUp()
        cls.addClassCleanup(cls.base.cleanUp)
        cls.installed = cls.base.run(
            'python3', '-c', 'import cc_kvm_tuning as m; m._install('
            f'{{"requirement": "{cls.base.wheel}"}}, m.VENV, None)'
        )  # fmt: skip

    def setUp(self):
        super().setUp()
        self.assertEqual((0, ''), self.installed)
        self.root = self.useFixture(
            Root(self.suite, installed=self.base.upper)
        )

    def seed(self, vendor=None, user=None):
        """Give the machine its data: cloud-configs, as mappings."""
        # Without any, cloud-init 22.4 warns of its own empty file.
        user = user or {'preserve_hostname': True}
        for name, value in (('vendor', vendor), ('user', user)):
            self.root.write(
                f'var/lib/cloud/seed/nocloud/{name}-data',
                f'#cloud-config\n{yaml.safe_dump(value)}' if value else '',
            )
        self.root.write(
            'var/lib/cloud/seed/nocloud/meta-data', 'instance-id: i-1\n'
        )

    def boot(self):
        """Run what cloud-init does in a boot; return its log."""
        for name in ('run/cloud-init', 'var/log/cloud-init.log'):
            self.root.run('rm', '-rf', f'/{name}')
        self.root.write('systemctl.log', '')
        for words in (
            ('init', '--local'),
            ('init',),
            ('modules', '--mode=config'),
            ('modules', '--mode=final'),
        ):
            self.console = self.root.run('cloud-init', *words)[1]
        log = self.root.read('var/log/cloud-init.log')
        self.addDetail('log', testtools.content.text_content(log))
        return log

    def warnings(self, log):
        return [line for line in log.splitlines() if '[WARNING]' in line]

    def result(self):
        return json.loads(self.root.read('run/cloud-init/result.json'))['v1']

    def tool(self, *words):
        return self.root.run('/opt/kvm-tuning/bin/kvm-tuning', *words)

    def gate(self):
        return self.root.read(
            'etc/systemd/system/nova-compute.service.d/50-kvm-tuning.conf'
        )

    def systemd(self):
        return self.root.read('systemctl.log').splitlines()

    def test_first_boot_and_second(self):
        self.root.write('enabled', 'nova-compute.service')
        self.seed(vendor={'kvm_tuning': {'config': AT_ONCE}})
        log = self.boot()
        self.assertEqual([], self.warnings(log))
        self.assertEqual([], self.result()['errors'])
        self.assertThat(log, Contains('kvm-tuning: ready; made: '))
        self.assertEqual('1', self.root.read('sys/kernel/mm/ksm/run').strip())
        self.assertEqual((0, ''), self.tool('host', 'ready'))
        gate = self.root.read(
            'etc/systemd/system/nova-compute.service.d/50-kvm-tuning.conf'
        )
        self.assertThat(
            gate, Contains('=+/opt/kvm-tuning/bin/kvm-tuning host ready')
        )
        self.assertEqual(
            'systemctl start --no-block nova-compute.service',
            self.systemd()[-1],
        )
        log = self.boot()
        self.assertEqual([], self.warnings(log))
        self.assertThat(log, Contains('kvm-tuning: ready; nothing to do'))
        # Somebody may have stopped it: only the first boot starts it.
        self.assertEqual([], self.systemd())

    def test_reboots_for_kernel_arguments(self):
        document = {'config': ISOLATED, 'reboot': True}
        self.seed(vendor={'kvm_tuning': document})
        log = self.boot()
        self.assertEqual([], self.result()['errors'])
        self.assertThat(log, Contains('reboots for: kernel arguments'))
        self.assertThat(
            self.systemd()[-1],
            Contains('--property=After=cloud-final.service systemctl reboot'),
        )
        self.assertEqual(1, self.tool('host', 'ready')[0])
        arguments = self.root.read('etc/kernel/cmdline')
        self.assertThat(arguments, Contains('nohz_full=2-3'))
        self.root.write('proc/cmdline', arguments)
        self.root.write('proc/sys/kernel/random/boot_id', 'boot-2\n')
        log = self.boot()
        self.assertEqual([], self.warnings(log))
        self.assertThat(log, Contains('kvm-tuning: ready; nothing to do'))
        self.assertEqual([], self.systemd())
        self.assertEqual((0, ''), self.tool('host', 'ready'))

    def test_a_reboot_that_is_not_allowed_is_told(self):
        self.seed(vendor={'kvm_tuning': {'config': ISOLATED}})
        (told,) = self.warnings(self.boot())
        self.assertThat(told, Contains('not ready before a reboot'))
        self.assertFalse([s for s in self.systemd() if 'reboot' in s])
        self.assertEqual(1, self.tool('host', 'ready')[0])

    def test_bad_configuration(self):
        self.seed(vendor={'kvm_tuning': {'config': {'ksm': {'run': 'maybe'}}}})
        wanted = "kvm_tuning.config.ksm.run = 'maybe': want off or on"
        self.assertThat(self.boot(), Contains(wanted))
        errors = ' '.join(self.result()['errors'])
        self.assertThat(errors, Contains(wanted))
        status = self.root.run('cloud-init', 'status', '--long')[1]
        self.assertThat(status, Contains('status: error'))
        self.assertThat(status, Contains('ksm.run'))
        for _boot in range(2):
            state, said = self.tool('host', 'ready')
            self.assertEqual(1, state)
            self.assertThat(said, Contains(wanted))
            self.boot()
        # Mended, it opens.
        self.seed(vendor={'kvm_tuning': {'config': AT_ONCE}})
        self.root.run('rm', '-rf', '/var/lib/cloud/instances',
                      '/var/lib/cloud/instance')  # fmt: skip
        self.assertThat(self.boot(), Contains('kvm-tuning: ready; made: '))
        self.assertEqual((0, ''), self.tool('host', 'ready'))

    def test_what_cannot_be_installed_keeps_the_gate_shut(self):
        self.seed(
            vendor={
                'kvm_tuning': {
                    'config': AT_ONCE,
                    'install': {'requirement': 'no-such-thing==9'},
                }
            }
        )
        self.assertThat(self.boot(), Contains('no-such-thing==9 failed'))
        state, said = self.tool('host', 'ready')
        self.assertThat((state, said), Not(Equals((0, ''))))
        self.assertThat(said, Contains('has not ended'))

    def test_by_user_data_without_a_warning(self):
        ours = {
            'kvm_tuning': {'config': AT_ONCE},
            'cloud_config_modules': [['kvm_tuning', 'always']],
        }
        self.seed(
            user={
                'write_files': [
                    {'path': OURS, 'content': yaml.safe_dump(ours)}
                ]
            }
        )
        log = self.boot()
        self.assertEqual([], self.warnings(log))
        self.assertThat(log, Contains('kvm-tuning: ready; made: '))

    def test_as_a_key_of_user_data_it_works_and_newer_ones_warn(self):
        self.seed(user={'kvm_tuning': {'config': AT_ONCE}})
        log = self.boot()
        self.assertThat(log, Contains('kvm-tuning: ready; made: '))
        schema = [line for line in self.warnings(log) if 'schema' in line]
        self.assertEqual(self.warns, len(schema), schema)

    def test_the_list_of_the_sample_is_the_distributions(self):
        shipped = yaml.safe_load(self.root.read('etc/cloud/cloud.cfg'))
        sample = yaml.safe_load(
            (TOP / 'etc/kvm_tuning/cloud-init/node-user-data.yaml').read_text()
        )
        (file,) = sample['write_files']
        self.assertEqual(
            [*shipped['cloud_config_modules'], ['kvm_tuning', 'always']],
            yaml.safe_load(file['content'])['cloud_config_modules'],
        )
        # What the command prints is the same.
        self.root.run('rm', '/etc/cloud/cloud.cfg.d/99_test.cfg')
        status, printed = self.tool('host', 'cloud-init')
        self.assertEqual(0, status, printed)
        self.assertEqual(
            yaml.safe_load(file['content'])['cloud_config_modules'],
            yaml.safe_load(printed)['cloud_config_modules'],
        )

    def test_lists_of_every_place_are_merged_as_by_cloud_init(self):
        self.seed(vendor={'cloud_config_modules': ['runcmd', 'byobu']})
        self.boot()
        status, printed = self.tool('host', 'cloud-init')
        self.assertEqual(0, status, printed)
        self.assertEqual(
            ['runcmd', 'byobu', ['kvm_tuning', 'always']],
            yaml.safe_load(printed)['cloud_config_modules'],
        )

    def test_schema_of_vendor_data(self):
        """What the page says of ``cloud-init schema``."""
        sample = TOP / 'etc/kvm_tuning/cloud-init/node-vendor-data.yaml'
        self.root.write('x.yaml', sample.read_text())
        status, said = self.root.run('cloud-init', 'schema', '-c', '/x.yaml')
        self.assertEqual(self.warns, status, said)
        if status:
            (line,) = [x for x in said.splitlines() if 'Additional' in x]
            self.assertThat(line, Contains("('kvm_tuning' was unexpected)"))
        user = TOP / 'etc/kvm_tuning/cloud-init/node-user-data.yaml'
        self.root.write('y.yaml', user.read_text())
        status, said = self.root.run('cloud-init', 'schema', '-c', '/y.yaml')
        self.assertEqual(0, status, said)

    def test_what_json_cannot_carry(self):
        for text, key in (
            ('ksm: {on: no, run: off}', 'ksm.True'),
            ('placement: {shared_cpus: 2024-01-02}', 'placement.shared_cpus'),
        ):
            self.root.write(
                'etc/cloud/cloud.cfg.d/60_ours.cfg',
                f'kvm_tuning: {{config: {{{text}}}}}\n',
            )
            self.seed()
            wanted = f'ConfigInvalid: kvm_tuning.config.{key}'
            self.assertThat(self.boot(), Contains(wanted))
            status, said = self.tool('host', 'ready')
            self.assertEqual(1, status)
            self.assertThat(said, Contains(wanted))
            self.assertThat(self.gate(), Contains('host ready'))

    def test_what_a_later_boot_heals_is_started(self):
        self.root.write('enabled', 'nova-compute.service')
        self.seed(vendor={'kvm_tuning': {'config': AT_ONCE}})
        self.boot()
        # host-prep has failed, and so the gate has refused nova-compute.
        self.root.write('sys/kernel/mm/ksm/run', '0\n')
        self.assertThat(self.boot(), Contains('ready; made: '))
        self.assertEqual(
            'systemctl start --no-block nova-compute.service',
            self.systemd()[-1],
        )

    def test_a_list_without_the_module_is_missed(self):
        self.seed(vendor={'kvm_tuning': {'config': AT_ONCE}})
        self.boot()
        self.root.write(
            'etc/cloud/cloud.cfg.d/99_x.cfg', 'cloud_config_modules: [ntp]\n'
        )
        self.root.write('proc/sys/kernel/random/boot_id', 'boot-2\n')
        self.boot()
        self.root.write('run/cloud-init/enabled', '')
        status, said = self.tool('host', 'ready')
        self.assertEqual(1, status)
        self.assertThat(said, Contains('none of its lists'))
        self.root.run('rm', '/etc/cloud/cloud.cfg.d/99_x.cfg')
        self.boot()
        self.root.write('run/cloud-init/enabled', '')
        self.assertEqual((0, ''), self.tool('host', 'ready'))

    def test_a_gate_that_has_moved(self):
        ours = 'etc/cloud/cloud.cfg.d/60_ours.cfg'
        for gate in (['nova-compute.service'], ['libvirtd.service'], []):
            document = {'config': AT_ONCE, 'gate': gate}
            self.root.write(ours, yaml.safe_dump({'kvm_tuning': document}))
            self.seed()
            self.boot()
            found = sorted(
                path.parent.name for path in
                (self.root.path / 'etc/systemd/system').glob('*.d/50-kvm*')
            )  # fmt: skip
            self.assertEqual([f'{unit}.d' for unit in gate], found)

    def test_an_upgrade_takes_the_python_away(self):
        """As from Debian 12 to 13: the venv's libraries are another's."""
        module = '/usr/lib/python3/dist-packages/cc_kvm_tuning.py'
        code = 'import sys; print(*sys.version_info[:2], sep=".")'
        now = self.root.run('python3', '-c', code)[1].strip()
        libraries = f'/opt/kvm-tuning/lib/python{now}'
        old = '/opt/kvm-tuning/lib/python3.9'
        document = {
            'config': AT_ONCE, 'install': {'requirement': self.root.wheel}
        }  # fmt: skip
        self.seed(vendor={'kvm_tuning': document})
        self.boot()
        for gone in (True, False):
            self.root.run('mv', libraries, old)
            self.root.run(
                'ln', '-sf', f'{old}/site-packages/cc_kvm_tuning.py', module
            )
            for name in ('python', 'python3', f'python{now}') if gone else ():
                self.root.run(
                    'ln', '-sf', '/usr/bin/python3.9',
                    f'/opt/kvm-tuning/bin/{name}',
                )  # fmt: skip
            self.assertThat(self.boot(), Contains('kvm-tuning: ready; '))
            self.assertEqual((0, ''), self.tool('host', 'ready'))
            self.assertFalse((self.root.path / old.lstrip('/')).exists())
            self.assertEqual(
                f'{libraries}/site-packages/cc_kvm_tuning.py\n',
                self.root.run('readlink', module)[1],
            )

    def test_an_upgrade_where_nothing_installs_the_package(self):
        self.seed(vendor={'kvm_tuning': {'config': AT_ONCE}})
        self.boot()
        self.root.run('rm', '-r', '/opt/kvm-tuning/lib')
        self.assertThat(
            self.boot(), Contains('kvm_tuning.install.requirement')
        )
        state = json.loads(self.root.read('var/lib/kvm-tuning/provision.json'))
        self.assertEqual('failed', state['step'])

    def test_changed_vendor_data_of_the_same_instance(self):
        """What the page says of data sources that keep what they had."""
        wrong = {'kvm_tuning': {'config': {'ksm': {'run': 'maybe'}}}}
        self.seed(vendor=wrong)
        self.boot()
        self.seed(vendor={'kvm_tuning': {'config': AT_ONCE}})
        self.assertThat(self.boot(), Contains("'maybe'"))
        self.root.run('cloud-init', 'clean')
        self.assertThat(self.boot(), Contains('kvm-tuning: ready; made: '))

    def test_changed_files_of_the_same_instance(self):
        ours = 'etc/cloud/cloud.cfg.d/60_ours.cfg'
        self.root.write(ours, 'kvm_tuning: {config: {ksm: {run: maybe}}}\n')
        self.seed()
        self.assertThat(self.boot(), Contains("'maybe'"))
        self.root.write(ours, yaml.safe_dump(
            {'kvm_tuning': {'config': AT_ONCE}}
        ))  # fmt: skip
        said = self.root.run(
            'cloud-init', 'single', '--name', 'kvm_tuning'
        )[1]  # fmt: skip
        self.assertThat(said, Contains('kvm-tuning: ready; made: '))
        self.assertEqual((0, ''), self.tool('host', 'ready'))

    def test_opting_out_of_what_nova_sends(self):
        """vendor_data is of vendor_data.json, vendor_data2 of the service."""
        hook = '#cloud-boothook\n#!/bin/sh\necho x >>/hook\n'
        for file in ('vendor_data.json', 'vendor_data2.json'):
            key = file.partition('.')[0]
            for name in ('vendor_data', 'vendor_data2'):
                ran = self.config_drive(
                    {file: {'cloud-init': hook}}, {name: {'enabled': False}}
                )
                self.assertEqual(name != key, ran, (file, name))
            # What the page has.
            self.assertFalse(
                self.config_drive(
                    {file: {'cloud-init': hook}},
                    {'vendor_data': {'enabled': False},
                     'vendor_data2': {'enabled': False}},
                )
            )  # fmt: skip

    def config_drive(self, files, user):
        """Boot from a config drive; return whether the boothook ran."""
        self.root.run('cloud-init', 'clean', '--logs')
        self.root.run('rm', '-f', '/hook')
        self.root.write(
            'etc/cloud/cloud.cfg.d/99_z.cfg',
            'datasource_list: [ConfigDrive]\n',
        )
        latest = 'var/lib/cloud/seed/config_drive/openstack/latest'
        for name, document in {
            'meta_data.json': {'uuid': 'i-1', 'hostname': 'x'},
            'vendor_data.json': {}, 'vendor_data2.json': {}, **files,
        }.items():  # fmt: skip
            self.root.write(f'{latest}/{name}', json.dumps(document))
        self.root.write(
            f'{latest}/user_data', f'#cloud-config\n{yaml.safe_dump(user)}'
        )
        self.boot()
        return bool(self.root.read('hook'))

    def test_nothing_is_asked(self):
        self.seed()
        log = self.boot()
        self.assertThat(log, Contains("Skipping modules 'kvm_tuning'"))
        self.assertEqual('', self.root.read('var/lib/kvm-tuning'))
        self.assertEqual([], self.systemd())


class BookwormTest(ModuleTest, testtools.TestCase):
    suite = 'bookworm'


class TrixieTest(ModuleTest, testtools.TestCase):
    suite = 'trixie'
    warns = 1
