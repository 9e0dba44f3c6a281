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
extends_documentation_fragment:
  - kvm_tuning.kvm_tuning.command
  - kvm_tuning.kvm_tuning.command.guests
options:
  fail_on:
    description: Fail from findings of this severity on.
    type: str
    choices: [warning, error]
    default: error
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

from ansible_collections.kvm_tuning.kvm_tuning.plugins.module_utils import (
    command,
)


def main():
    command.report(command.of_guests(['warning', 'error']), 'audit')


if __name__ == '__main__':
    main()
