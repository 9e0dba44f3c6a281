"""What a guest does at its boot: the script, and the script run."""

import os
from pathlib import Path
import shutil
import subprocess

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Not, StartsWith

from kvm_tuning.core import guest_boot
from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.hooks.guest_tuning import for_any_guest

MAC = '52:54:00:12:34:56'


def setting(name, value, scope=Scope.GUEST):
    return Setting('guest', name, value, scope, Phase.AFTER_START)


RECEIPT = (
    setting(f'nic-channels/{MAC}', '4'),
    setting('disk-scheduler/vda', 'none'),
    setting('transparent-huge-pages', 'madvise'),
    setting('irqbalance', 'on'),
)


class TextTest(testtools.TestCase):
    def test_nothing_to_do_is_an_empty_mapping(self):
        self.assertEqual({}, guest_boot.vendordata(()))
        host = setting('irqbalance', 'on', Scope.HOST)
        self.assertEqual({}, guest_boot.vendordata([host]))

    def test_counts_of_queues_are_told_by_mac(self):
        other = '52:54:00:12:34:57'
        text = guest_boot.vendordata(
            [
                setting(f'nic-channels/{other}', '2'),
                setting(f'nic-channels/{MAC}', '4'),
                setting('nic-channels/no mac', '8'),
                setting('nic-channels/52:54:00:12:34:58', '; reboot'),
            ]
        )
        self.assertThat(text, Contains(f'{MAC}=4 {other}=2'))
        for word in ('no mac', 'reboot', '34:58', '@TOLD@'):
            self.assertThat(text, Not(Contains(word)))

    def test_is_a_boothook(self):
        for settings in (RECEIPT, for_any_guest()):
            text = guest_boot.vendordata(settings)
            self.assertThat(text, StartsWith('#cloud-boothook\n#!/bin/sh\n'))

    def test_has_only_what_is_asked(self):
        text = guest_boot.vendordata([setting('irqbalance', 'on')])
        self.assertThat(text, Contains('irqbalance.service'))
        self.assertThat(text, Not(Contains('hugepage')))
        self.assertThat(text, Not(Contains('virtio_net')))

    def test_no_value_comes_to_a_shell_as_it_is(self):
        for name, value in (
            (f"nic-channels/{MAC}'; id; '", '4'),
            (f'nic-channels/{MAC}', "4'; id; '"),
            ('disk-scheduler/vda', '$(id)'),
            ('disk-scheduler/$(id)', 'none'),
            ('transparent-huge-pages', 'always; id'),
            ('irqbalance', 'on; id'),
            ('id', 'id'),
        ):
            self.assertEqual({}, guest_boot.vendordata([setting(name, value)]))

    def test_schedulers_that_differ_are_left(self):
        text = guest_boot.vendordata(
            [
                setting('disk-scheduler/vda', 'none'),
                setting('disk-scheduler/vdb', 'bfq'),
                setting('disk-scheduler/sda', 'none'),
            ]
        )
        self.assertThat(text, Not(Contains('vd*')))
        self.assertThat(text, Contains('sd*'))

    def test_shellcheck_has_nothing_to_say(self):
        if shutil.which('shellcheck') is None:
            self.skipTest('shellcheck is not installed')
        for settings in (RECEIPT, for_any_guest()):
            text = guest_boot.vendordata(settings)
            done = subprocess.run(
                # SC2016: udev's $name is not the shell's.
                ['shellcheck', '-s', 'sh', '-e', 'SC2016', '-'],
                input=text.partition('\n')[2],
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual((0, ''), (done.returncode, done.stdout))


class RunTest(testtools.TestCase):
    """The script on a tree that looks like a guest's."""

    def setUp(self):
        super().setUp()
        self.root = Path(self.useFixture(fixtures.TempDir()).path)
        self.put('sys/class/net/eth0/address', MAC)
        self.put('sys/class/net/lo/address', '00:00:00:00:00:00')
        driver = self.root / 'sys/class/net/eth0/device/driver'
        driver.parent.mkdir()
        driver.symlink_to('../../drivers/virtio_net')
        for disk, vendor in (('vda', '0x1af4'), ('sda', 'QEMU'),
                             ('sdb', 'ATA')):  # fmt: skip
            self.put(f'sys/block/{disk}/device/vendor', vendor)
            self.put(f'sys/block/{disk}/queue/scheduler', 'mq-deadline')
        self.thp = self.put('sys/kernel/mm/transparent_hugepage/enabled', 'x')
        self.put('dev/kmsg', '')
        self.put('queues', '1')
        self.command(
            'ethtool',
            'if [ "$1" = -L ]; then echo "$4" >"$here/queues"; exit; fi\n'
            'echo Combined: 4; echo "Current:"\n'
            'echo "Combined: $(cat "$here/queues")"',
        )
        self.command('systemctl', 'echo "$@" | tee -a "$here/systemctl.log"')

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{text}\n')
        return path

    def command(self, name, text):
        path = self.put(f'bin/{name}', f'#!/bin/sh\nhere={self.root}\n{text}')
        path.chmod(0o755)

    def run_hook(self, settings, *words):
        text = guest_boot.vendordata(settings).partition('\n')[2]
        for place in ('sys', 'dev/kmsg', 'run'):
            text = text.replace(f'/{place}', f'{self.root}/{place}')
        text = text.replace('PATH=', f'PATH={self.root}/bin:')
        hook = self.put('hook', text)
        done = subprocess.run(
            ['sh', str(hook), *words],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr), done)
        return done.stdout

    def read(self, name):
        return (self.root / name).read_text().strip()

    def test_whole(self):
        said = self.run_hook(RECEIPT)
        self.assertThat(said, Contains('eth0: 4 of 4 queues'))
        self.assertThat(said, Not(Contains('the host gave')))
        self.assertThat(self.read('queues'), Equals('4'))
        self.assertThat(self.read('sys/block/vda/queue/scheduler'),
                        Equals('none'))  # fmt: skip
        # Of no bus that the receipt names.
        self.assertThat(self.read('sys/block/sda/queue/scheduler'),
                        Equals('mq-deadline'))  # fmt: skip
        self.assertThat(self.thp.read_text(), Equals('madvise\n'))
        self.assertThat(self.read('systemctl.log'),
                        Contains('--no-block start irqbalance'))  # fmt: skip
        rules = self.read('run/udev/rules.d/99-kvm-tuning-guest.rules')
        self.assertThat(rules, Contains('SUBSYSTEM=="net"'))
        self.assertThat(rules, Contains('KERNEL=="vd*"'))
        # Each rule is one line to udev.
        for line in rules.replace('\\\n', '').splitlines():
            self.assertThat(line, StartsWith('ACTION=='))

    def test_any_guest(self):
        self.run_hook(for_any_guest())
        self.assertThat(self.read('queues'), Equals('4'))
        self.assertThat(self.read('sys/block/sda/queue/scheduler'),
                        Equals('none'))  # fmt: skip
        self.assertThat(self.read('sys/block/sdb/queue/scheduler'),
                        Equals('mq-deadline'))  # fmt: skip

    def test_again_is_the_same(self):
        self.run_hook(RECEIPT)
        rules = self.read('run/udev/rules.d/99-kvm-tuning-guest.rules')
        self.run_hook(RECEIPT)
        self.assertEqual(
            rules, self.read('run/udev/rules.d/99-kvm-tuning-guest.rules')
        )

    def test_a_nic_that_comes_later(self):
        self.run_hook(RECEIPT)
        self.put('queues', '1')
        os.unlink(self.root / 'systemctl.log')
        said = self.run_hook(RECEIPT, 'queues', 'eth0')
        self.assertThat(said, Contains('eth0: 4 of 4 queues'))
        self.assertFalse((self.root / 'systemctl.log').exists())

    def test_says_when_the_host_gave_another_number(self):
        said = self.run_hook([setting(f'nic-channels/{MAC}', '2')])
        self.assertThat(said, Contains('the host gave 2 queues'))

    def enslave(self, nic, told, others):
        """Make a bond give a NIC another MAC than its own.

        :param told: what ethtool -P says of it
        """
        self.put(f'sys/class/net/{nic}/address', others)
        self.command(
            'ethtool',
            f'if [ "$1" = -P ]; then {told}; exit; fi\n'
            'if [ "$1" = -L ]; then echo "$4" >"$here/queues"; exit; fi\n'
            'echo Combined: 4; echo "Combined: $(cat "$here/queues")"',
        )

    def test_a_bond_gives_its_slaves_one_mac(self):
        other = '52:54:00:00:00:99'
        receipt = [
            setting(f'nic-channels/{MAC}', '4'),
            setting(f'nic-channels/{other}', '2'),
        ]
        self.enslave('eth0', f'echo "Permanent address: {MAC}"', other)
        said = self.run_hook(receipt)
        self.assertThat(said, Contains('eth0: 4 of 4 queues'))
        self.assertThat(said, Not(Contains('the host gave')))

    def test_a_bond_where_ethtool_knows_no_permanent_address(self):
        other = '52:54:00:00:00:99'
        receipt = [setting(f'nic-channels/{other}', '2')]
        for told in (
            'echo "Permanent address: not set"',
            'echo "Permanent address: 00:00:00:00:00:00"',
            'echo "Operation not supported" >&2',
        ):
            self.enslave('eth0', told, other)
            self.put('sys/class/net/eth0/bonding_slave/perm_hwaddr', MAC)
            self.assertThat(
                self.run_hook(receipt), Not(Contains('the host gave'))
            )
            # Outside of a bond the address is what there is.
            shutil.rmtree(self.root / 'sys/class/net/eth0/bonding_slave')
            self.assertThat(
                self.run_hook(receipt), Contains('the host gave 2 queues')
            )

    def test_an_address_that_a_tenant_has_set(self):
        """NetworkManager can give each connection an address of its own."""
        self.enslave(
            'eth0', f'echo "Permanent address: {MAC}"', '02:00:00:00:00:01'
        )
        said = self.run_hook([setting(f'nic-channels/{MAC}', '2')])
        self.assertThat(said, Contains('the host gave 2 queues'))

    def test_an_event_of_udev_during_a_run_changes_no_rules(self):
        """The run is stopped by each of its tools, and the event comes."""
        self.run_hook(RECEIPT)
        path = 'run/udev/rules.d/99-kvm-tuning-guest.rules'
        wanted = self.read(path)
        self.command(
            'systemctl',
            '[ "$1" != cat ] || '
            'sh "$here/run/kvm-tuning/guest" queues eth0 >"$here/event"\n'
            'echo unit',
        )
        self.run_hook(RECEIPT)
        self.assertThat(self.read('event'), Contains('eth0: 4 of 4 queues'))
        self.assertEqual(wanted, self.read(path))
        self.assertEqual(
            ['99-kvm-tuning-guest.rules'],
            os.listdir(self.root / 'run/udev/rules.d'),
        )

    def test_fails_no_boot_without_its_tools(self):
        (self.root / 'bin/systemctl').unlink()
        self.command('ethtool', 'exit 1')
        self.thp.unlink()
        self.thp.mkdir()
        self.run_hook(RECEIPT)
