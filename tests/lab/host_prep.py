"""What the tests of host-prep share: a configuration, and a look at a host."""

from pathlib import Path
import re
import stat

from kvm_tuning.host.prep import journal
from tests.fixtures.command import Command
from tests.lab import ports
from tests.lab.base import LabTest

PAGES = (64, 96)

#: Every group of settings that this node can keep without a reboot. Managed
#: interrupts stay where the kernel has them, so that interrupts have a test
#: of their own.
CONFIG = f"""
[sriov]
vfs = driver:igb=7
[block_scheduler]
rotational = bfq
ssd = kyber
[transparent_huge_pages]
enabled = madvise
defrag = defer+madvise
khugepaged_defrag = false
[compaction]
proactiveness = 0
[ksm]
run = on
merge_across_nodes = false
[huge_pages]
pages = node:0,size:2048,count:{PAGES[0]}
pages = node:1,size:2048,count:{PAGES[1]}
[kvm_modules]
vhost_net = true
halt_poll_ns = 100000
vhost_zero_copy = true
nested_paging = true
[iommu]
required = true
[cpu_isolation]
housekeeping_cpus = 0-1,4-5
isolate_by =
irq_affinity = false
"""

_FOLDERS = ('etc', 'boot', 'var/lib/kvm-tuning')
#: Written by others in the meantime, or by the test itself.
_NOT_OURS = re.compile(
    r'/etc/(kvm-tuning|libvirt|machine-id|resolv\.conf|mtab|\.pwd\.lock)|'
    r'/var/lib/kvm-tuning/lock|/boot/(vmlinuz|initrd|System|grub/grubenv)'
)
_BELOW = ('sys/kernel/mm/ksm', 'sys/kernel/mm/transparent_hugepage')
_MODULES = ('igb', 'kvm', 'kvm_amd', 'kvm_intel', 'vhost', 'vhost_net')
_ATTRIBUTES = (
    'sys/block/*/queue/*',
    'sys/bus/pci/drivers/igb/*/sriov_numvfs',
    'sys/bus/pci/drivers/igb/*/sriov_drivers_autoprobe',
    'sys/devices/system/node/node*/hugepages/*/nr_hugepages',
    'sys/devices/system/cpu/isolated',
    *(f'sys/module/{module}/parameters/*' for module in _MODULES),
    'proc/sys/vm/*',
    'proc/irq/default_smp_affinity',
)
# Reading it does something.
_LEFT_OUT = ('stat_refresh', 'uevent')

_CHOSEN = re.compile(r'.*\[(.*)\].*')
#: A SCSI disk's place: its name, and its host's number, differ from boot to
#: boot.
_SCSI_DISK = re.compile(r'/host\d+/target.*/\d+((:\d+){3})/block/\w+')


def files(times=False):
    """Return content, mode and owner of each file that may be written.

    :param times: also when it was written, and which file it is
    """
    found = {}
    for folder in _FOLDERS:
        for path in sorted(Path('/', folder).rglob('*')):
            about = path.lstat()
            if _NOT_OURS.match(str(path)) or not stat.S_ISREG(about.st_mode):
                continue
            found[str(path)] = (
                path.read_bytes().decode(errors='backslashreplace'),
                oct(about.st_mode),
                f'{about.st_uid}:{about.st_gid}',
                *((about.st_mtime_ns, about.st_ino) if times else ()),
            )
    return found


def attributes():
    """Return the kernel's attributes that may be written. Of a choice, only
    what is chosen: asking for a scheduler loads its module, which stays.
    """
    paths = [path for each in _ATTRIBUTES for path in Path('/').glob(each)]
    for folder in _BELOW:
        paths += Path('/', folder).rglob('*')
    return {
        stable(path): _CHOSEN.sub(r'[\1]', path.read_text().strip())
        for path in sorted(paths)
        if path.name not in _LEFT_OUT and _is_setting(path)
    }


def stable(path):
    """Return a name that stays over a reboot."""
    if path.parts[2] == 'block':
        return _SCSI_DISK.sub(r'/\1', str(path.resolve()))
    return str(path)


def _is_setting(path):
    mode = path.lstat().st_mode
    both = stat.S_IRUSR | stat.S_IWUSR
    settable = mode & both == both or path.parts[2] == 'module'
    return stat.S_ISREG(mode) and settable and mode & stat.S_IRUSR != 0


class HostPrepTest(LabTest):
    deadline = 420

    def setUp(self):
        super().setUp()
        self.config = '/etc/kvm-tuning/kvm-tuning.conf'

    def configure(self, text=CONFIG, keep=False):
        """Write the configuration.

        :param keep: leave it, and what comes of it, after the test.
        """
        path = Path(self.config)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if not keep:
            self.addCleanup(self._put_back)

    def _put_back(self):
        """Let a test that has failed not fail the next one."""
        if Path('/', journal.PATH).exists():
            Command().run('--config-file', self.config, 'host', 'undo')
        Path(self.config).unlink(missing_ok=True)

    def host(self, verb, *argv, status=0):
        return self.tool(
            '--config-file', self.config, 'host', verb, *argv, '-f', 'json',
            status=status,
        )  # fmt: skip

    def applied(self):
        """Apply; return the labels of what was changed, when all went well."""
        document = self.host('apply').document
        self.assertEqual(([], []), (document['failed'],
                                    document['taken_back']))  # fmt: skip
        return document['changed']

    def undone(self):
        """Undo; return the labels of what was restored, when all went well."""
        document = self.host('undo').document
        self.assertEqual([], document['failed'])
        self.assertFalse(Path('/', journal.PATH).exists())
        return document['restored']

    def states(self, status=0):
        """Return the settings that are not as wanted."""
        return {
            row['setting']: (row['wanted'], row['running'], row['state'])
            for row in self.host('status', status=status).document
            if row['state'] != 'as wanted'
        }

    def assert_same(self, before, found):
        """Assert that two looks at files or attributes are the same."""
        names = before.keys() | found.keys()
        self.assertEqual(
            {},
            {
                name: (before.get(name), found.get(name))
                for name in names
                if before.get(name) != found.get(name)
            },
        )

    def assert_all_is_as_configured(self):
        found = attributes()
        for address in ports.PORTS:
            name = f'/sys/bus/pci/drivers/igb/{address}/sriov_numvfs'
            self.assertEqual('7', found[name])
            self.assertEqual(7, len(ports.vfs(address)))
        for cell, count in enumerate(PAGES):
            name = (
                f'/sys/devices/system/node/node{cell}/hugepages/'
                f'hugepages-2048kB/nr_hugepages'
            )
            self.assertEqual(str(count), found[name])
        for name, wanted in (
            ('kernel/mm/ksm/run', '1'),
            ('kernel/mm/ksm/merge_across_nodes', '0'),
            ('kernel/mm/transparent_hugepage/enabled', '[madvise]'),
            ('kernel/mm/transparent_hugepage/defrag', '[defer+madvise]'),
            ('kernel/mm/transparent_hugepage/khugepaged/defrag', '0'),
            ('module/kvm/parameters/halt_poll_ns', '100000'),
        ):
            self.assertEqual(wanted, found[f'/sys/{name}'], name)
        self.assertEqual('0', found['/proc/sys/vm/compaction_proactiveness'])
        self.assertTrue(Path('/sys/module/vhost_net').exists())
        for disk in Path('/sys/block').glob('sd?'):
            turns = (disk / 'queue/rotational').read_text().strip() == '1'
            self.assertIn(
                '[bfq]' if turns else '[kyber]',
                found[stable(disk / 'queue/scheduler')],
            )
        options = Path('/etc/modprobe.d/kvm-tuning.conf').read_text()
        self.assertIn('options kvm halt_poll_ns=100000', options)
        self.assertIn('options vhost_net experimental_zcopytx=1', options)
