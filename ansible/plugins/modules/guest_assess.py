#!/usr/bin/python
# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""Say what running guests lose by how they are set up."""

DOCUMENTATION = r"""
module: guest_assess
short_description: Say what running guests lose by how they are set up
version_added: 0.1.0
description:
  - Looks at any running QEMU guest, tuned or not, and returns what it loses
    by its placement and its devices, with what would change that.
extends_documentation_fragment:
  - kvm_tuning.kvm_tuning.command
  - kvm_tuning.kvm_tuning.command.guests
options:
  fail_on:
    description: Fail from findings of this severity on.
    type: str
    choices: [info, warning, error]
    default: error
  seconds:
    description: Seconds between the two samples of what threads do.
    type: float
"""

EXAMPLES = r"""
- name: Look at all guests of this host
  kvm_tuning.kvm_tuning.guest_assess:

- name: Look at one, and be strict
  kvm_tuning.kvm_tuning.guest_assess:
    names: [web]
    fail_on: warning
"""

RETURN = r"""
report:
  description: What C(kvm-tuning guest assess) prints for programs.
  returned: always
  type: raw
"""

from ansible_collections.kvm_tuning.kvm_tuning.plugins.module_utils import (
    command,
)


def main():
    module = command.of_guests(
        ['info', 'warning', 'error'], seconds={'type': 'float'}
    )
    words = []
    if module.params['seconds'] is not None:
        words = ['--seconds', str(module.params['seconds'])]
    command.report(module, 'assess', *words)


if __name__ == '__main__':
    main()
