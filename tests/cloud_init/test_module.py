"""Debian's own cloud-init runs our module."""

import json

import testtools
from testtools.matchers import Contains, Equals, Not
import yaml

from tests.cloud_init.base import Root, folder

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
