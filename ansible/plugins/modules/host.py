#!/usr/bin/python
# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""Prepare a host, or take the preparation back."""

DOCUMENTATION = r"""
module: host
short_description: Prepare a KVM host as its configuration says
version_added: 0.1.0
description:
  - Makes the settings of the host (huge pages, KSM, transparent huge pages,
    VFs, schedulers, isolation) what its configuration wants, or restores
    what they were before.
  - What is refused changes nothing, and is the reason of the failure.
  - In check mode nothing is written; RV(changes) has what would be.
extends_documentation_fragment:
  - kvm_tuning.kvm_tuning.command
options:
  state:
    description:
      - V(applied) makes the configuration hold. V(undone) restores what
        V(applied) has changed, by the journal.
    type: str
    choices: [applied, undone]
    default: applied
  groups:
    description: Restore only these groups of settings. For O(state=undone).
    type: list
    elements: str
    default: []
  keep_going:
    description:
      - Make what is not refused, and keep what was made when something fails.
    type: bool
    default: false
  wait:
    description: Seconds to wait for another process that prepares the host.
    type: int
attributes:
  check_mode:
    description: Can run in check mode and return what would be changed.
    support: full
  diff_mode:
    description: Returns what each setting is and will be.
    support: full
"""

EXAMPLES = r"""
- name: Prepare this host
  kvm_tuning.kvm_tuning.host:
  register: prepared

- name: Reboot where a setting waits for it
  ansible.builtin.reboot:
  when: prepared.reboot_required

- name: Take it back
  kvm_tuning.kvm_tuning.host:
    state: undone
"""

RETURN = r"""
changes:
  description: The settings that are changed or restored; of each what it is,
    will be, and when it is in force.
  returned: success
  type: list
  elements: dict
reboot_required:
  description: Whether a change of this run is in force after a reboot only.
  returned: success
  type: bool
notes:
  description: What is to be known besides.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kvm_tuning.kvm_tuning.plugins.module_utils import (
    command,
)

# How "kvm-tuning host plan" says when a setting is in force.
REBOOT = 'after a reboot'


def applied(module):
    status, plan = command.run(
        module, 'host', 'plan', accept=(command.OK, command.FOUND)
    )
    refused = plan['refusals'] + plan['unseen']
    if status == command.FOUND and not module.params['keep_going']:
        module.fail_json(msg='; '.join(refused), changes=plan['changes'])
    changes = [each for each in plan['changes'] if not each['refused']]
    will = bool(changes or plan['mends'])
    if will and not module.check_mode:
        words = ['host', 'apply', '--detailed-exit-codes']
        if module.params['keep_going']:
            words.append('--keep-going')
        if module.params['wait'] is not None:
            words += ['--wait', str(module.params['wait'])]
        accept = [command.OK, command.CHANGED]
        if module.params['keep_going']:
            accept.append(command.FOUND)
        status, done = command.run(module, *words, accept=accept)
        will = bool(done['changed'])
    return {
        'changed': will,
        'changes': changes,
        'reboot_required': any(e['in_force'] == REBOOT for e in changes),
        'notes': plan['notes'],
        'diff': {
            'before': command.lines({e['setting']: e['is'] for e in changes}),
            'after': command.lines(
                {e['setting']: e['will_be'] for e in changes}
            ),
        },
    }


def undone(module):
    groups = module.params['groups']
    words = ['host', 'undo'] + groups
    _status, plan = command.run(
        module, *words, '--dry-run', accept=(command.OK, command.FOUND)
    )
    changes = [each for each in plan if each['is'] != each['was']]
    will = bool(plan)
    notes = []
    if plan and not module.check_mode:
        _status, done = command.run(
            module,
            *words,
            '--detailed-exit-codes',
            accept=(command.OK, command.CHANGED),
        )
        will = bool(done['restored'])
        notes = done['notes']
    return {
        'changed': will,
        'changes': changes,
        'reboot_required': False,
        'notes': notes,
        'diff': {
            'before': command.lines({e['setting']: e['is'] for e in changes}),
            'after': command.lines({e['setting']: e['was'] for e in changes}),
        },
    }


def main():
    module = AnsibleModule(
        argument_spec=dict(
            command.ARGUMENTS,
            state={'choices': ['applied', 'undone'], 'default': 'applied'},
            groups={'type': 'list', 'elements': 'str', 'default': []},
            keep_going={'type': 'bool', 'default': False},
            wait={'type': 'int'},
        ),
        supports_check_mode=True,
    )
    state = {'applied': applied, 'undone': undone}[module.params['state']]
    module.exit_json(**state(module))


if __name__ == '__main__':
    main()
