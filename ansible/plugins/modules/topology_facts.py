#!/usr/bin/python
# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""Return a host's processors, caches and NUMA cells as a fact."""

DOCUMENTATION = r"""
module: topology_facts
short_description: Return the topology of a host as a fact
version_added: 0.1.0
description:
  - Sets the fact C(kvm_tuning_topology), what C(kvm-tuning host topology)
    prints for programs.
extends_documentation_fragment:
  - kvm_tuning.kvm_tuning.command
options:
  root:
    description: Look at the host whose /sys and /proc lie below this folder.
    type: path
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Read the topology
  kvm_tuning.kvm_tuning.topology_facts:

- name: Show how many L3 domains there are
  ansible.builtin.debug:
    msg: "{{ ansible_facts.kvm_tuning_topology.l3 | length }} L3 domains"
"""

RETURN = r"""
ansible_facts:
  description: The fact.
  returned: always
  type: dict
  contains:
    kvm_tuning_topology:
      description: Processors, cores, sockets, L3 domains and NUMA cells.
      type: dict
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kvm_tuning.kvm_tuning.plugins.module_utils import (
    command,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(command.ARGUMENTS, root={'type': 'path'}),
        supports_check_mode=True,
    )
    words = ['host', 'topology']
    if module.params['root']:
        words += ['--root', module.params['root']]
    _status, found = command.run(module, *words)
    module.exit_json(
        changed=False, ansible_facts={'kvm_tuning_topology': found}
    )


if __name__ == '__main__':
    main()
