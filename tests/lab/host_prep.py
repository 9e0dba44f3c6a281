"""What the tests of host-prep share: a configuration, and a look at a host."""

import os
from pathlib import Path
import re

from tests.lab import ports
from tests.lab.base import LabTest

PAGES = (64, 96)

#: Every group of settings that this node can keep. Managed interrupts stay
#: where the kernel has them, so that interrupts have a test of their own.
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
[iommu]
required = true
[cpu_isolation]
housekeeping_cpus = 0-1,4-5
isolate_by =
irq_affinity = false
"""

#: Where an apply leaves files; compared with all that is in them.
_FOLDERS = (
    'etc/modprobe.d', 'etc/modules-load.d', 'etc/udev/rules.d',
    'etc/systemd', 'etc/default', 'etc/sysctl.d', 'etc/tmpfiles.d',
)  # fmt: skip
_ATTRIBUTES = (
    'sys/block/*/queue/scheduler',
    'sys/bus/pci/drivers/igb/*/sriov_numvfs',
    'sys/bus/pci/drivers/igb/*/sriov_drivers_autoprobe',
    'sys/devices/system/node/node*/hugepages/*/nr_hugepages',
    'sys/kernel/mm/ksm/run',
    'sys/kernel/mm/ksm/merge_across_nodes',
    'sys/kernel/mm/transparent_hugepage/enabled',
    'sys/kernel/mm/transparent_hugepage/defrag',
    'sys/kernel/mm/transparent_hugepage/khugepaged/defrag',
    'sys/module/kvm/parameters/*',
    'sys/module/igb/parameters/*',
    'proc/sys/vm/compaction_proactiveness',
    'proc/irq/default_smp_affinity',
)

_CHOSEN = re.compile(r'.*\[(.*)\].*')


def files():
    """Return content, mode and owner of each file that may be written."""
    return {
        str(path): (
            path.read_bytes(),
            oct(path.stat().st_mode),
            (path.stat().st_uid, path.stat().st_gid),
        )
        for folder in _FOLDERS
        for path in sorted(Path('/', folder).rglob('*'))
        if path.is_file() and not path.is_symlink()
    }


def attributes():
    """Return the kernel's attributes that may be written. Of a choice, only
    what is chosen: asking for a scheduler loads its module, which stays.
    """
    return {
        str(path): _CHOSEN.sub(r'[\1]', path.read_text().strip())
        for pattern in _ATTRIBUTES
        for path in sorted(Path('/').glob(pattern))
        if os.access(path, os.R_OK)
    }


class HostPrepTest(LabTest):
    deadline = 420

    def setUp(self):
        super().setUp()
        self.config = '/etc/kvm-tuning/kvm-tuning.conf'

    def configure(self, text=CONFIG):
        path = Path(self.config)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def host(self, verb, *argv, status=0):
        return self.tool(
            '--config-file', self.config, 'host', verb, *argv, '-f', 'json',
            status=status,
        )  # fmt: skip

    def states(self, status=0):
        """Return the settings that are not as wanted."""
        return {
            row['setting']: (row['wanted'], row['running'], row['state'])
            for row in self.host('status', status=status).document
            if row['state'] != 'as wanted'
        }

    def assert_all_is_as_configured(self):
        found = attributes()
        for address in ports.PORTS:
            name = f'/sys/bus/pci/drivers/igb/{address}/sriov_numvfs'
            self.assertEqual('7', found[name])
        for cell, count in enumerate(PAGES):
            name = (
                f'/sys/devices/system/node/node{cell}/hugepages/'
                f'hugepages-2048kB/nr_hugepages'
            )
            self.assertEqual(str(count), found[name])
        for name, wanted in (
            ('kernel/mm/ksm/run', '1'),
            ('kernel/mm/ksm/merge_across_nodes', '0'),
            ('kernel/mm/transparent_hugepage/enabled',
             '[madvise]'),
            ('kernel/mm/transparent_hugepage/khugepaged/defrag', '0'),
            ('module/kvm/parameters/halt_poll_ns', '100000'),
        ):  # fmt: skip
            self.assertEqual(wanted, found[f'/sys/{name}'], name)
        self.assertEqual('0', found['/proc/sys/vm/compaction_proactiveness'])
        for disk in Path('/sys/block').glob('sd?'):
            turns = (disk / 'queue/rotational').read_text().strip() == '1'
            self.assertIn(
                '[bfq]' if turns else '[kyber]',
                found[f'{disk}/queue/scheduler'],
            )
