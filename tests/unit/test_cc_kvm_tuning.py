"""cloud-init's module, called in the two ways that cloud-init has."""

import inspect
import json
import os
from pathlib import Path

import fixtures
import testtools
from testtools.matchers import Contains

import cc_kvm_tuning as module

ANSWER = {
    'ready': True, 'reboot': False, 'waiting': [], 'written': [],
    'changed': ['KSM run'], 'notes': [], 'reasons': [],
}  # fmt: skip
SECTION = {'config': {'ksm': {'run': 'on'}}}

# What it was told goes to a file, what it answers comes from others.
_TOOL = """\
#!/bin/sh
cd {home}
case $* in
"host provision -f json -") cat >told; cat answer; cat error >&2
  mv after {state} 2>/dev/null; exit "$(cat status)" ;;
esac
exit 9
"""
_SYSTEMCTL = """\
#!/bin/sh
echo "${{0##*/}} $*" >>{home}/log
[ "$1" != is-enabled ] || [ -e {home}/enabled ]
"""


class Distro:
    def __init__(self):
        self.installed = []

    def update_package_sources(self):
        self.installed.append('update')

    def install_packages(self, names):
        self.installed.append(names)


class Cloud:
    def __init__(self):
        self.distro = Distro()


class ModuleTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.home = Path(self.useFixture(fixtures.TempDir()).path)
        self.state = self.home / 'state/provision.json'
        for name, value in (
            ('STATE', str(self.state)),
            ('UNITS', str(self.home / 'units')),
            ('VENV', str(self.home / 'venv')),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(f'cc_kvm_tuning.{name}', value)
            )
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{self.home}/bin:/usr/bin:/bin'
            )
        )
        for name in ('systemctl', 'systemd-run'):
            self.script(f'bin/{name}', _SYSTEMCTL)
        self.script('venv/bin/kvm-tuning', _TOOL)
        self.answer()
        self.logger = self.useFixture(fixtures.FakeLogger())
        self.printed = self.useFixture(fixtures.StringStream('stdout'))
        self.useFixture(
            fixtures.MonkeyPatch('sys.stdout', self.printed.stream)
        )
        self.cloud = Cloud()

    def put(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def script(self, name, text):
        text = text.format(home=self.home, state=self.state)
        self.put(name, text).chmod(0o755)

    def answer(self, status=0, error='', step='done', **changes):
        self.put('answer', json.dumps(ANSWER | changes))
        self.put('status', str(status))
        self.put('error', error)
        digest = module._digest(SECTION)
        self.put('after', json.dumps({'step': step, 'digest': digest}))

    def handle(self, section=None):
        section = SECTION if section is None else section
        cfg = {'kvm_tuning': section}
        module.handle(name='kvm_tuning', cfg=cfg, cloud=self.cloud, args=[])

    def log(self):
        path = self.home / 'log'
        return path.read_text().splitlines() if path.exists() else []

    def test_both_ways_of_a_call(self):
        # Five parameters are the old way to the new cloud-init.
        self.assertNotEqual(
            5, len(inspect.signature(module.handle).parameters)
        )
        cfg = {'kvm_tuning': SECTION}
        module.handle('kvm_tuning', cfg, self.cloud, None, [])
        told = json.loads((self.home / 'told').read_text())
        self.assertEqual(SECTION, told)

    def test_meta(self):
        self.assertEqual('always', module.meta['frequency'])
        self.assertEqual(['all'], module.meta['distros'])
        self.assertEqual(
            ['kvm_tuning'], module.meta['activate_by_schema_keys']
        )
        # cloud-init refuses a module with one of these.
        self.assertFalse(hasattr(module, 'schema'))

    def test_nothing_asked(self):
        module.handle(name='kvm_tuning', cfg={}, cloud=self.cloud, args=[])
        self.assertEqual([], self.log())

    def test_the_gate_is_shut_before_and_opens_after(self):
        self.put('enabled', '')
        self.handle()
        gate = self.home / 'units/nova-compute.service.d/50-kvm-tuning.conf'
        self.assertThat(gate.read_text(), Contains(
            f'ExecStartPre=+{self.home}/venv/bin/kvm-tuning host ready'
        ))  # fmt: skip
        self.assertEqual(
            ['systemctl daemon-reload',
             'systemctl is-enabled --quiet nova-compute.service',
             'systemctl reset-failed nova-compute.service',
             'systemctl start --no-block nova-compute.service'],
            self.log(),
        )  # fmt: skip
        self.assertThat(
            self.logger.output, Contains('kvm-tuning: ready; made: KSM run')
        )

    def test_a_second_time(self):
        self.put('enabled', '')
        self.handle()
        os.unlink(self.home / 'log')
        self.answer(changed=[])
        self.handle()
        self.assertEqual([], self.log())
        self.assertThat(
            self.logger.output, Contains('kvm-tuning: ready; nothing to do')
        )

    def test_a_reboot(self):
        self.put('enabled', '')
        self.answer(ready=False, reboot=True, waiting=['x'], step='reboot')
        self.handle()
        self.assertThat(self.log()[-1], Contains(
            'After=cloud-final.service systemctl reboot'
        ))  # fmt: skip
        self.assertThat(self.logger.output, Contains('reboots for: x'))

    def test_errors_leave_the_gate_shut(self):
        self.put('enabled', '')
        for answer, said in (
            ({'status': 3, 'error': 'ConfigInvalid: x'}, 'ConfigInvalid: x'),
            ({'status': 1, 'ready': False, 'reasons': ['y']}, 'not ready: y'),
        ):
            self.answer(step='failed', **answer)
            if answer['status'] == 3:
                self.put('answer', '')
            error = self.assertRaises(RuntimeError, self.handle)
            self.assertThat(str(error), Contains(said))
            self.assertFalse([x for x in self.log() if ' start ' in x])

    def test_not_installed(self):
        os.unlink(self.home / 'venv/bin/kvm-tuning')
        error = self.assertRaises(RuntimeError, self.handle)
        self.assertThat(str(error), Contains('kvm_tuning.install.requirement'))
        state = json.loads(self.state.read_text())
        self.assertEqual('begun', state['step'])

    def test_packages_are_installed_once(self):
        section = {**SECTION, 'install': {'packages': ['a', 'b']}}
        digest = module._digest(section)
        self.put('after', json.dumps({'step': 'done', 'digest': digest}))
        self.handle(section)
        self.assertEqual(['update', ['a', 'b']], self.cloud.distro.installed)
        self.handle(section)
        self.assertEqual(2, len(self.cloud.distro.installed))

    def test_what_is_no_mapping_is_told_by_the_tool(self):
        for section in ([], 'x', {'install': 7, 'gate': 'nova'},
                        {'gate': ['../x']}):  # fmt: skip
            self.handle(section)
            self.assertEqual(
                section, json.loads((self.home / 'told').read_text())
            )
        self.assertFalse((self.home / 'x.d').exists())
