"""Which knobs the tests of this folder ask of a server."""

import ast
from pathlib import Path
import re

_VF = 'no device of a small machine can be given to a guest: tests/lab has VFs'

#: Knobs that no test asks for, and why.
LEFT_OUT = {
    'hw:pci_numa_affinity_policy': _VF,
    'kvm:vf_attachment': _VF,
    'kvm:vf_max_rate': _VF,
    'kvm:vf_spoof_check': _VF,
    'kvm:vf_trust': _VF,
    'kvm:vf_vlan': _VF,
    'kvm:vfs': _VF,
    'pci_passthrough:alias': _VF,
    'kvm:macvtap_mode': (
        "Neutron's ports on Open vSwitch are no macvtap devices: "
        'tests/functional/test_devices.py'
    ),
    'kvm:vhost_cpus': (
        'a machine without /dev/vhost-net has no such threads: tests/lab'
    ),
    'kvm:vif_tx_ring': (
        'libvirt takes it of vhost-user and vdpa NICs only, which take a '
        'switch with huge pages: tests/scenarios'
    ),
}

#: Tests that see servers refused.
_REFUSING = ('test_flavors.py', 'test_placement.py', 'test_client.py')
_KEY = re.compile(r'(hw|kvm|os|pci)_\w+(\.\d+)?', re.ASCII)


def asked() -> set[str]:
    """Return the keys that flavors and images of the tests have, with ``:``
    and ``N`` where knobs have them.
    """
    found = set()
    for path in Path(__file__).parent.glob('test_*.py'):
        if path.name in _REFUSING:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
            elif isinstance(node, ast.Dict):
                found |= {
                    key.value
                    for key in node.keys
                    if isinstance(key, ast.Constant)
                    and isinstance(key.value, str)
                }
    return {
        re.sub(r'\.\d+$', '', key).replace('__', ':')
        for key in found
        if _KEY.fullmatch(key)
    }
