"""cloud-init's module, called in the two ways that cloud-init has."""

import datetime
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

    def gated(self):
        """Return the units that have the gate."""
        found = (self.home / 'units').glob('*.d/50-kvm-tuning.conf')
        return sorted(path.parent.name.removesuffix('.d') for path in found)

    def done(self, section):
        """Have the tool say that this very document is done."""
        digest = module._digest(section)
        self.put('after', json.dumps({'step': 'done', 'digest': digest}))

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

    def test_what_json_cannot_carry_is_refused_behind_a_shut_gate(self):
        for config, said in (
            ({'ksm': {True: False, 'run': False}}, 'config.ksm.True'),
            ({'placement': {'shared_cpus': datetime.date(2024, 1, 2)}},
             'config.placement.shared_cpus = 2024-01-02'),
            ({'ksm': {'run': {'on', 'off'}}}, 'config.ksm.run'),
            ({'huge_pages': {'pages': [{'node': b'0'}]}},
             'config.huge_pages.pages.0.node'),
            ({None: {}}, 'config.None'),
            ({'compaction': {'proactiveness': float('nan')}},
             'config.compaction.proactiveness = nan'),
        ):  # fmt: skip
            section = {'config': config, 'install': {'packages': ['a']}}
            error = self.assertRaises(RuntimeError, self.handle, section)
            self.assertIn(f'ConfigInvalid: kvm_tuning.{said}', str(error))
            state = json.loads(self.state.read_text())
            self.assertEqual('failed', state['step'])
            self.assertIn(said, state['reason'])
            self.assertEqual(['nova-compute.service'], self.gated())
        self.assertFalse((self.home / 'told').exists())
        self.assertEqual([], self.cloud.distro.installed)

    def test_the_gate_is_shut_before_cloud_init_can_be_in_the_way(self):
        self.assertRaises(IndexError, module.handle, 'x', {
            'kvm_tuning': SECTION
        })  # fmt: skip
        self.assertEqual(['nova-compute.service'], self.gated())
        state = json.loads(self.state.read_text())
        self.assertEqual('begun', state['step'])

    def test_what_a_later_boot_heals_is_started(self):
        self.put('enabled', '')
        self.handle()
        for made in ({'changed': ['KSM run']},
                     {'changed': [], 'written': ['/etc/x']}):  # fmt: skip
            os.unlink(self.home / 'log')
            self.answer(**made)
            self.handle()
            self.assertEqual(
                'systemctl start --no-block nova-compute.service',
                self.log()[-1],
            )

    def test_a_gate_that_has_moved(self):
        self.put('enabled', '')
        self.handle()
        theirs = self.put(
            'units/other.service.d/50-kvm-tuning.conf', '[Service]\n'
        )
        section = {**SECTION, 'gate': ['libvirtd.service']}
        # Both are shut until the host is ready.
        self.answer(status=1, ready=False, reasons=['y'], step='failed')
        self.assertRaises(RuntimeError, self.handle, section)
        self.assertIn('nova-compute.service', self.gated())
        self.assertIn('libvirtd.service', self.gated())
        self.answer()
        self.done(section)
        self.handle(section)
        self.assertEqual(['libvirtd.service', 'other.service'], self.gated())
        self.assertTrue(theirs.exists())
        self.assertFalse((self.home / 'units/nova-compute.service.d').exists())
        started = [x.split()[-1] for x in self.log() if ' start ' in x]
        self.assertEqual(
            ['libvirtd.service', 'nova-compute.service'], started[-2:]
        )

    def test_a_gate_that_is_removed(self):
        self.handle()
        section = {**SECTION, 'gate': []}
        self.answer()
        self.done(section)
        self.handle(section)
        self.assertEqual([], self.gated())

    def test_a_gate_is_no_path(self):
        for unit in ('../x.service', 'a/b.service', '', 'x\0.service', 7):
            section = {**SECTION, 'gate': [unit, 'a@1.service']}
            self.done(section)
            self.handle(section)
            self.assertIn('a@1.service', self.gated())
        self.assertEqual(['a@1.service.d'], os.listdir(self.home / 'units'))

    def test_a_python_that_is_gone(self):
        self.put('enabled', '')
        self.handle()
        gone = f'{self.home}/venv/bin/python3.1'
        for script in (f'#!{gone}\n', '#!/usr/bin/python3 -I\n'):
            self.put('venv/bin/kvm-tuning', script).chmod(0o755)
            # Only the second starts, and does not find the package.
            self.useFixture(
                fixtures.EnvironmentVariable('PYTHONPATH', str(self.home))
            )
            self.done(SECTION)
            self.assertRaises(RuntimeError, self.handle)
            state = json.loads(self.state.read_text())
            self.assertEqual('failed', state['step'])

    def test_a_venv_without_its_python_is_made_again(self):
        """pip is asked for nothing: what cannot be had is told."""
        section = {**SECTION, 'install': {'requirement': './no-such-wheel'}}
        self.put('venv/kvm-tuning.requirement', './no-such-wheel')
        self.done(section)
        self.handle(section)
        python = self.home / 'venv/bin/python'
        python.symlink_to('/usr/bin/python-that-is-gone')
        self.put('venv/bin/kvm-tuning', f'#!{python}\n')
        error = self.assertRaises(RuntimeError, self.handle, section)
        self.assertIn('no-such-wheel', str(error))
        self.assertTrue(python.exists())
        self.assertEqual('begun', json.loads(self.state.read_text())['step'])
