# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""Run kvm-tuning and return what it prints for programs."""

import json

from ansible.module_utils.basic import AnsibleModule

#: Exit statuses of kvm-tuning (``kvm-tuning --help``).
OK, FOUND, USAGE, INCOMPLETE, CHANGED = range(5)

#: Options of every module.
ARGUMENTS = {
    'executable': {'type': 'path', 'default': 'kvm-tuning'},
    'config_file': {'type': 'path'},
}


def run(module, *words, accept=(OK,)):
    """Return the exit status and the document of one command.

    :param accept: the exit statuses that are not a failure of the module.
    """
    if module.params['config_file']:
        words = ('--config-file', module.params['config_file'], *words)
    argv = [module.get_bin_path(module.params['executable'], required=True)]
    argv += [*words, '-f', 'json']
    status, output, errors = module.run_command(argv)
    if status not in accept:
        module.fail_json(
            msg=errors.strip() or output.strip(), rc=status, cmd=argv
        )
    try:
        return status, json.loads(output) if output.strip() else None
    except ValueError:
        module.fail_json(
            msg=f'kvm-tuning has not printed JSON: {output[:200]}',
            rc=status,
            cmd=argv,
        )


def lines(document):
    """Return the text that a diff compares."""
    return json.dumps(document, indent=2, sort_keys=True) + '\n'


def of_guests(levels, **options):
    """Return the module of a command that looks at guests.

    :param levels: the severities that it can fail from, the mildest first.
    :param options: its own.
    """
    return AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            names={'type': 'list', 'elements': 'str', 'default': []},
            fail_on={'choices': levels, 'default': 'error'},
            **options,
        ),
        supports_check_mode=True,
    )


def report(module, verb, *words):
    """End with what the command says of the guests, failed where it has a
    finding that is bad enough.
    """
    level = module.params['fail_on']
    status, found = run(
        module,
        'guest',
        verb,
        '--fail-on',
        level,
        *words,
        *module.params['names'],
        accept=(OK, FOUND),
    )
    if status == FOUND:
        module.fail_json(
            msg=f'there are findings of severity {level} or worse',
            report=found,
        )
    module.exit_json(changed=False, report=found)
