#!/usr/bin/python
# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""Create a flavor in a cloud, or set its extra specs, compiled."""

DOCUMENTATION = r"""
module: flavor
short_description: Create a flavor, or set its extra specs, compiled
version_added: 0.1.0
description:
  - Reads a flavor from a file, creates it where the cloud does not have it,
    and else sets its extra specs with what Nova itself has to know of them
    (traits, aliases). What an operator has set besides is left alone.
extends_documentation_fragment:
  - kvm_tuning.kvm_tuning.command
options:
  path:
    description:
      - The flavor's file, as C(openstack flavor show -f json) or C(-f yaml)
        prints it.
    type: path
    required: true
  cloud:
    description: The cloud's name in clouds.yaml; else the environment says.
    type: str
  prune:
    description: Remove extra specs that the file does not have.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return what would be changed.
    support: full
  diff_mode:
    description: Returns the extra specs before and after.
    support: full
"""

EXAMPLES = r"""
- name: Have the flavor for databases in the cloud
  kvm_tuning.kvm_tuning.flavor:
    path: files/database.yaml
    cloud: admin
"""

RETURN = r"""
flavor:
  description: What the command printed for programs.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kvm_tuning.kvm_tuning.plugins.module_utils import (
    command,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            command.ARGUMENTS,
            path={'type': 'path', 'required': True},
            cloud={'type': 'str'},
            prune={'type': 'bool', 'default': False},
        ),
        supports_check_mode=True,
    )
    path, more = module.params['path'], []
    if module.params['cloud']:
        more += ['--os-cloud', module.params['cloud']]
    if module.check_mode:
        more.append('--dry-run')
    _status, made = command.run(
        module, 'flavor', 'create', '--from', path, '--keep', *more
    )
    if made['created']:
        module.exit_json(changed=True, flavor=made, diff=diff([]))
    if module.params['prune']:
        more.append('--prune')
    # The cloud has answered; without the flavor, only a dry run comes here.
    accept = [command.OK, command.CHANGED]
    if module.check_mode:
        accept += [command.USAGE, command.INCOMPLETE]
    status, pushed = command.run(
        module,
        'flavor',
        'push',
        path,
        '--detailed-exit-codes',
        *more,
        accept=accept,
    )
    if pushed is None or status in (command.USAGE, command.INCOMPLETE):
        module.exit_json(changed=True, flavor=made, diff=diff([]))
    module.exit_json(
        changed=bool(pushed['differences']),
        flavor=pushed,
        diff=diff(pushed['differences']),
    )


def diff(differences):
    return {
        'before': command.lines({e['key']: e['now'] for e in differences}),
        'after': command.lines({e['key']: e['wanted'] for e in differences}),
    }


if __name__ == '__main__':
    main()
