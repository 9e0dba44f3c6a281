"""The units and rules that are shipped for the operator to install."""

import os
import shutil
import subprocess

import fixtures
import testtools
from testtools.matchers import Contains, Equals

from kvm_tuning.host.prep.kinds.kind import UNIT

_SHIPPED = os.path.join(
    os.path.dirname(__file__), '..', '..', '..', '..', 'etc', 'kvm_tuning'
)


def _read(name: str) -> str:
    with open(os.path.join(_SHIPPED, name)) as stream:
        return stream.read()


class TestUnits(testtools.TestCase):
    def test_comes_before_those_that_need_it(self):
        lines = _read(f'systemd/{UNIT}').splitlines()
        before = ' '.join(line for line in lines if line.startswith('Before='))
        for unit in (
            'network-pre.target',
            'libvirtd.service',
            'virtqemud.service',
            'nova-compute.service',
            'openstack-nova-compute.service',
            'neutron-sriov-agent.service',
            'neutron-openvswitch-agent.service',
        ):
            self.assertThat(before, Contains(unit))

    def test_the_rule_starts_a_unit_that_is_shipped(self):
        rule = _read('udev/99-kvm-tuning-host-prep.rules')
        unit = 'kvm-tuning-host-prep-device.service'
        self.assertThat(rule, Contains(f'ENV{{SYSTEMD_WANTS}}+="{unit}"'))
        self.assertThat(_read(f'systemd/{unit}'), Contains(f'After={UNIT}'))

    def test_a_device_does_not_apply_what_was_undone(self):
        for unit, found in (
            ('kvm-tuning-host-prep-device.service', True),
            (UNIT, False),
        ):
            text = _read(f'systemd/{unit}')
            self.assertEqual(found, '--unless-undone' in text, unit)

    def test_a_port_comes_where_host_prep_has_failed(self):
        lines = _read(
            'systemd/kvm-tuning-host-prep-device.service'
        ).splitlines()
        # Any of these keeps a unit from a start after the other's failure.
        needs = ('Requires=', 'Requisite=', 'BindsTo=')
        self.assertThat(
            [line for line in lines if line.startswith(needs)], Equals([])
        )
        # Host-prep is enabled, and not necessarily active.
        self.assertThat(
            lines,
            Contains(
                'ExecCondition=/usr/bin/systemctl is-enabled --quiet ' + UNIT
            ),
        )

    def test_systemd_finds_nothing(self):
        if shutil.which('systemd-analyze') is None:
            self.skipTest('systemd-analyze is not installed')
        home = self.useFixture(fixtures.TempDir()).path
        paths = []
        for name in (UNIT, 'kvm-tuning-host-prep-device.service'):
            # What is started, and its manual page, are not installed here.
            lines = [
                'ExecStart=/bin/true' if line.startswith('ExecStart') else line
                for line in _read(f'systemd/{name}').splitlines()
                if not line.startswith('Documentation')
            ]
            paths.append(os.path.join(home, name))
            with open(paths[-1], 'w') as stream:
                stream.write('\n'.join(lines))
        done = subprocess.run(
            ['systemd-analyze', 'verify', '--man=no', *paths],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = [
            line for line in done.stderr.splitlines() if 'kvm-tuning' in line
        ]
        self.assertThat((done.returncode, said), Equals((0, [])))

    def test_what_they_are_exposed_to(self):
        if shutil.which('systemd-analyze') is None:
            self.skipTest('systemd-analyze is not installed')
        for name, tenths in (
            (UNIT, 80),
            ('kvm-tuning-host-prep-device.service', 80),
            ('kvm-tuning-exporter.service', 25),
        ):
            done = subprocess.run(
                [
                    *('systemd-analyze', 'security', '--no-pager'),
                    *('--offline=true', f'--threshold={tenths}'),
                    os.path.join(_SHIPPED, 'systemd', name),
                ],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if 'unrecognized option' in done.stderr:
                self.skipTest('systemd-analyze is older than 250')
            last = done.stdout.splitlines()[-1:]
            self.assertThat((done.returncode, last), Equals((0, last)))
            self.assertThat(last[0], Contains(name))
