"""What the tests of cloud-init on the node share: its seed, its result."""

import json
from pathlib import Path
import subprocess

from testtools.content import text_content
import yaml

from tests.lab.base import LabTest

SEED = Path('/var/lib/cloud/seed/nocloud')
LOG = Path('/var/log/cloud-init.log')
PAGES = 48

#: What the node is to be: something at once, something by a reboot.
NODE = {
    'reboot': True,
    'gate': ['nova-compute.service'],
    'config': {
        'transparent_huge_pages': {'enabled': 'madvise'},
        'ksm': {'run': True, 'merge_across_nodes': False},
        'huge_pages': {
            'pages': [
                {'node': cell, 'size': 2048, 'count': PAGES} for cell in (0, 1)
            ]
        },
        'sriov': {'vfs': ['driver:igb=2']},
        'kvm_modules': {'vhost_net': True},
        'cpu_isolation': {
            'housekeeping_cpus': '0-1,4-5',
            'isolate_by': ['nohz_full'],
            'systemd_affinity': False,
            'irq_affinity': False,
        },
        'placement': {'dedicated_cpus': '2-3,6-7'},
    },
}

# Of the list, only what is of use here: no keys of ssh, no users, no network.
_CONFIG = """\
datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: [write_files]
cloud_config_modules: [[kvm_tuning, always]]
cloud_final_modules: [final_message]
"""

_COMPUTE = """\
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


class CloudInitTest(LabTest):
    deadline = 400

    def seed(self, number, section):
        """Have the next boot be the first one of a new instance."""
        SEED.mkdir(parents=True, exist_ok=True)
        (SEED / 'meta-data').write_text(f'instance-id: node-{number}\n')
        (SEED / 'user-data').write_text(
            '#cloud-config\npreserve_hostname: true\n'
        )
        (SEED / 'vendor-data').write_text(
            '#cloud-config\n' + yaml.safe_dump({'kvm_tuning': section})
        )
        # What was logged before is not of the next boot.
        LOG.unlink(missing_ok=True)
        subprocess.run(['sync'], check=True)

    def furnish(self):
        """Have cloud-init run at the next boot, and a nova-compute start."""
        Path('/etc/cloud/cloud-init.disabled').unlink(missing_ok=True)
        Path('/etc/cloud/cloud.cfg.d/99_lab.cfg').write_text(_CONFIG)
        # Where an operator's user-data links it.
        self.shell(
            'ln -sf /opt/kvm-tuning/lib/python3*/site-packages/'
            'cc_kvm_tuning.py /usr/lib/python3/dist-packages/'
        )
        Path('/etc/systemd/system/nova-compute.service').write_text(_COMPUTE)
        # The image has the gate, so that nothing starts before cloud-init.
        gate = Path('/etc/systemd/system/nova-compute.service.d')
        gate.mkdir(exist_ok=True)
        self.shell(
            f'cp /opt/kvm-tuning/etc/kvm_tuning/systemd/ready.conf '
            f'{gate}/50-kvm-tuning.conf && '
            f'systemctl enable nova-compute.service'
        )
        # The kernel and its arguments come from outside of the node, so that
        # only a boot from there has new ones. That it is asked for is seen.
        self.shell('systemctl mask reboot.target')

    def ended(self, status=0):
        """Wait for cloud-init; return its result and its log."""
        said = self.shell('cloud-init status --wait --format=json', status)
        log = LOG.read_text()
        self.addDetail('cloud-init', text_content(f'{said}\n{log}'))
        return json.loads(said.lstrip('.\n')), log

    def compute(self):
        """Return whether nova-compute runs."""
        done = subprocess.run(
            ['systemctl', 'is-active', '--quiet', 'nova-compute'], check=False
        )
        return done.returncode == 0
