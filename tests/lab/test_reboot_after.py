"""After the reboot all is as configured, and undo takes all back."""

import json
from pathlib import Path

from tests.lab import ports
from tests.lab.host_prep import HostPrepTest
from tests.lab.test_reboot_before import AT_BOOT, BEFORE, state

_UNIT = 'kvm-tuning-host-prep.service'
#: In force by a reboot, and until the next one.
_LATER = (
    '/proc/irq/default_smp_affinity',
    '/sys/devices/system/cpu/isolated',
    # KVM posts timers by itself where there are isolated CPUs.
    '/sys/module/kvm/parameters/pi_inject_timer',
    '/sys/module/vhost_net/parameters/experimental_zcopytx',
    # Of the memory that was free when the kernel started.
    '/proc/sys/vm/min_free_kbytes',
    '/proc/sys/vm/user_reserve_kbytes',
)


class AfterTest(HostPrepTest):
    """One test: each look needs what the one before has left."""

    def test_kept_gated_and_undone(self):
        # Until it has ended, where ssh was faster.
        self.shell(f'systemctl start {_UNIT} || journalctl -u {_UNIT}')
        self.shell(f'systemctl is-active {_UNIT}')
        self.shell('systemctl start nova-compute')
        self._all_is_in_force()
        self._in_order()
        self._a_port_that_comes_later_is_made_ready()
        self._the_gate_is_kept()
        self._undone()

    def _all_is_in_force(self):
        self.assert_all_is_as_configured()
        self.assertEqual({}, self.states())
        self.assertEqual([], self.host('apply').document['changed'])
        for path, wanted in (
            ('/sys/devices/system/cpu/isolated', '2-3,6-7'),
            ('/sys/devices/system/cpu/nohz_full', '2-3,6-7'),
            ('/sys/module/vhost_net/parameters/experimental_zcopytx', '1'),
            ('/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/'
             'nr_hugepages', '0'),
            ('/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/'
             'nr_hugepages', '1'),
        ):  # fmt: skip
            self.assertEqual(wanted, Path(path).read_text().strip(), path)
        arguments = Path('/proc/cmdline').read_text()
        self.assertIn(' rcu_nocbs=2-3,6-7', arguments)
        self.assertIn(' irqaffinity=0-1,4-5', arguments)
        self.assertIn(' hugepagesz=1G hugepages=1:1', arguments)
        # systemd's own affinity, and that of a service.
        for pid in ('1', self._show('nova-compute', 'MainPID')):
            self.assertIn(
                'Cpus_allowed_list:\t0-1,4-5',
                Path(f'/proc/{pid}/status').read_text(),
            )

    def _show(self, unit, name):
        return self.shell(f'systemctl show -P {name} {unit}')

    def _in_order(self):
        """Host-prep had ended before libvirt and Nova were started."""
        ended = int(self._show(_UNIT, 'ExecMainExitTimestampMonotonic'))
        for unit in ('libvirtd', 'nova-compute'):
            self.assertEqual('active', self._show(unit, 'ActiveState'), unit)
            begun = int(self._show(unit, 'ExecMainStartTimestampMonotonic'))
            self.assertLess(ended, begun, unit)

    def _a_port_that_comes_later_is_made_ready(self):
        self.shell('modprobe -r igb && modprobe igb && udevadm settle')
        device = 'kvm-tuning-host-prep-device.service'
        self.shell(
            f'for try in $(seq 60); do '
            f'systemctl is-active -q {device} || '
            f'[ $(cat {" ".join(map(_vfs, ports.PORTS))} | tr -d "\\n") '
            f'= 77 ] && exit; sleep 1; done; journalctl -u {device}; exit 1'
        )
        self.assert_all_is_as_configured()

    def _the_gate_is_kept(self):
        wanted = AT_BOOT.replace('count:64', 'count:72')
        self.assertNotEqual(AT_BOOT, wanted)
        self.configure(wanted, keep=True)
        self.shell('systemctl restart nova-compute', status=1)
        self.assertEqual('failed', self._show('nova-compute', 'ActiveState'))
        said = self.shell('journalctl -b -o cat -u nova-compute')
        self.assertIn('not ready: [huge_pages]', said)
        self.assertIn("'64', not '72'", said)

        self.applied()
        self.shell('systemctl restart nova-compute')
        self.assertEqual('active', self._show('nova-compute', 'ActiveState'))
        self.configure(AT_BOOT, keep=True)
        self.applied()

    def _undone(self):
        self.undone()
        before, found = json.loads(BEFORE.read_text()), state()
        self.assert_same(before['files'], found['files'])
        # The NVMe disk that a restore adds does not outlive a reboot.
        common = before['attributes'].keys() & found['attributes'].keys()
        self.assertIn('/sys/module/igb/parameters/max_vfs', common)
        common -= {*_LATER}
        self.assert_same(
            {name: before['attributes'][name] for name in common},
            {name: found['attributes'][name] for name in common},
        )
        # The next boot is without us.
        Path(self.config).unlink()
        self.shell('sync')


def _vfs(address):
    return f'/sys/bus/pci/devices/{address}/sriov_numvfs'
