"""Which knobs the tests of this folder ask of a server.

A knob about the guest's devices is not asked: no device of a small machine
can be given to a guest, Neutron's ports on Open vSwitch are not macvtap
devices, and only vhost-user NICs take a transmit ring. ``tests/lab`` and
``tests/functional`` have them. Every other knob is asked by a test that is
written for it, or as the first scenario keeps it that fits any guest.
"""

import ast
from pathlib import Path
import re

from kvm_tuning import loader
from kvm_tuning.core.knobs import Knob
from tests.fixtures.scenarios import scenarios

#: Tests that see servers refused.
_REFUSING = ('test_flavors.py', 'test_placement.py', 'test_client.py')
_KEY = re.compile(r'(hw|kvm|os|pci)_\w+(\.\d+)?', re.ASCII)


#: What a scenario may have, to be true of a server in any cloud.
_ANYWHERE = {
    'file', 'name', 'knob', 'flavor', 'vcpus', 'memory_mib', 'holds',
    'consequences', 'unkept',
}  # fmt: skip


def rest() -> list[Knob]:
    """Return the knobs that no test is written for, without those about the
    guest's devices.
    """
    named = asked()
    knobs = loader.knobs(loader.load()).values()
    return [k for k in knobs if k.name not in named and not k.of_device]


def scenario_of(knob: Knob) -> dict[str, object] | None:
    """Return the first scenario that keeps a knob on any guest and host."""
    for each in scenarios():
        if each['knob'] == knob.name and set(each) <= _ANYWHERE:
            return dict(each)
    return None


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
