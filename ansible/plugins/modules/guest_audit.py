#!/usr/bin/python
# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""Compare what guests were promised with what they have."""

DOCUMENTATION = r"""
module: guest_audit
short_description: Compare what guests were promised with what they have
version_added: 0.1.0
description:
  - Fails where a running guest does not have what its tuning promised.
author:
  - kvm-tuning contributors (@kvm-tuning)
options:
  names:
    description: Names or UUIDs of guests; none are all.
    type: list
    elements: str
    default: []
  fail_on:
    description: Fail from findings of this severity on.
    type: str
    choices: [warning, error]
    default: error
  config_file:
    description: Read this configuration instead of the default ones.
    type: path
  executable:
    description: The program, by its path or its name.
    type: path
    default: kvm-tuning
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Look at all guests of this host
  kvm_tuning.kvm_tuning.guest_audit:

- name: Look at one, and be strict
  kvm_tuning.kvm_tuning.guest_audit:
    names: [web]
    fail_on: warning
"""

RETURN = r"""
report:
  description: What C(kvm-tuning guest audit) prints for programs.
  returned: always
  type: raw
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kvm_tuning.kvm_tuning.plugins.module_utils import (
    command,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            command.ARGUMENTS,
            names={'type': 'list', 'elements': 'str', 'default': []},
            fail_on={
                'choices': ['warning', 'error'],
                'default': 'error',
            },
        ),
        supports_check_mode=True,
    )
    words = ['guest', 'audit', '--fail-on', module.params['fail_on']]
    status, report = command.run(
        module,
        *words,
        *module.params['names'],
        accept=(command.OK, command.FOUND),
    )
    if status == command.FOUND:
        module.fail_json(
            msg='there are findings of severity '
            f'{module.params["fail_on"]} or worse',
            report=report,
        )
    module.exit_json(changed=False, report=report)


if __name__ == '__main__':
    main()
