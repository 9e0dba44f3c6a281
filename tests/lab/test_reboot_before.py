"""What is to be there after the reboot of this node."""

import json
from pathlib import Path

from tests.lab.host_prep import CONFIG, HostPrepTest, attributes, files

#: Where the state before all of it is kept over the reboot.
BEFORE = Path('/var/lib/kvm-tuning-lab/before.json')
_ETC = '/opt/kvm-tuning/etc/kvm_tuning'

_PATIENT = '/usr/bin/kvm-tuning-host-prep --keep-going --wait 300'

#: With what comes into force by a reboot.
AT_BOOT = CONFIG.replace(
    'isolate_by =', 'isolate_by = isolcpus,nohz_full,rcu_nocbs,irqaffinity'
).replace(
    '[kvm_modules]',
    'pages = node:1,size:1048576,count:1\nkernel_arguments = true\n'
    '[kvm_modules]',
).replace('[iommu]', '[iommu]\nkernel_arguments = true')  # fmt: skip

#: A boot entry and a command line, as systems without GRUB have them.
ENTRY = Path('/boot/loader/entries/lab.conf')
CMDLINE = Path('/etc/kernel/cmdline')
_ENTRY = """\
title Lab
linux /vmlinuz
options root=/dev/vda isolcpus=7 quiet
"""

#: Stands for Nova's: it only has to start.
NOVA = """\
[Unit]
Description=Stands for nova-compute
After=libvirtd.service
[Service]
Type=exec
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


def state():
    """Return what undo must bring back, as JSON has it."""
    return json.loads(
        json.dumps({'files': files(), 'attributes': attributes()})
    )


class BeforeTest(HostPrepTest):
    def test_apply(self):
        units = '/etc/systemd/system'
        drop_in = f'{units}/nova-compute.service.d'
        Path(units, 'nova-compute.service').write_text(NOVA)
        # As doc/source/admin/host_prep.rst tells operators.
        self.shell(
            f'set -e; cd {_ETC}\n'
            f'install -m 644 systemd/kvm-tuning-host-prep*.service {units}\n'
            f'install -m 644 udev/99-kvm-tuning-host-prep.rules '
            f'/etc/udev/rules.d\n'
            f'mkdir -p {drop_in}\n'
            f'install -m 644 systemd/ready.conf {drop_in}/50-kvm-tuning.conf\n'
            # Devices and modules take their time under emulation.
            f'mkdir {units}/kvm-tuning-host-prep.service.d\n'
            f'printf "[Service]\\nExecStart=\\nExecStart={_PATIENT}\\n" '
            f'>{units}/kvm-tuning-host-prep.service.d/slow.conf\n'
            f'systemctl -q enable kvm-tuning-host-prep nova-compute libvirtd'
        )
        ENTRY.parent.mkdir(parents=True)
        ENTRY.write_text(_ENTRY)
        CMDLINE.parent.mkdir(exist_ok=True)
        CMDLINE.write_text('root=/dev/vda quiet\n')
        BEFORE.write_text(json.dumps(state()))

        self.configure(AT_BOOT, keep=True)
        self.applied()
        self.assert_all_is_as_configured()
        for path in (ENTRY, CMDLINE):
            self.assertIn(
                ' isolcpus=2-3,6-7 nohz_full=2-3,6-7', path.read_text()
            )
        self.assertNotIn('isolcpus=7 ', ENTRY.read_text())
        self.shell('sync')
