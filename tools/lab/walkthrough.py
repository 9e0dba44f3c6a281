"""The walkthrough of the documentation: five outputs of host-prep, as they
are on the node, over a reboot.
"""

import difflib
import json
from typing import Any

from tools.lab import project
from tools.lab.node import Node
from tools.lab.places import LabError, say
from tools.lib.checkout import TOP

#: The configuration, and the outputs.
FOLDER = TOP / 'doc/source/admin/_walkthrough'
_CONFIG = 'kvm-tuning.conf'
_TOOL = 'EVENTLET_NO_GREENDNS=yes kvm-tuning'
_UNIT = 'kvm-tuning-host-prep.service'
_SETUP = f"""
set -e
cd {project.VENV}/etc/kvm_tuning
install -m 644 systemd/kvm-tuning-host-prep*.service /etc/systemd/system
systemctl -q enable {_UNIT}
"""


def run(node: Node, check: bool) -> bool:
    """Walk, and write the outputs; return whether all is as it should be.

    :param check: write nothing, and compare with what is written
    :raises LabError: the node is lost, or a command does not what it should.
    """
    node.start()
    project.install(node)
    outputs = _walk(node)
    if not check:
        for name, text in outputs.items():
            (FOLDER / name).write_text(text)
        say(f'{len(outputs)} outputs written to {FOLDER.relative_to(TOP)}')
        return True
    lines = [line for each in outputs.items() for line in _differences(*each)]
    print(''.join(lines), end='')
    if lines:
        say('Run tools/lab walkthrough, and look at what has changed.')
        return False
    say(f'{len(outputs)} outputs are as they should be')
    return True


def _walk(node: Node) -> dict[str, str]:
    node.run('mkdir -p /etc/kvm-tuning')
    node.send(FOLDER, [_CONFIG], '/etc/kvm-tuning')
    node.run(_SETUP)
    outputs = {}
    planned = _document(node, 'plan')
    _demand(not planned['refusals'], f'refused: {planned["refusals"]}')
    outputs['plan.txt'] = _output(node, 'plan')
    outputs['apply.txt'] = _output(node, 'apply')
    again = _document(node, 'plan')
    _demand(not again['changes'], f'left to do: {again["changes"]}')

    node.reboot()
    node.run(
        f'udevadm settle --timeout=200; systemctl start {_UNIT}', timeout=300
    )
    outputs['status.txt'] = _output(node, 'status')
    other = {
        row['setting']: row['state']
        for row in _document(node, 'status')
        if row['state'] != 'as wanted'
    }
    _demand(not other, f'after the reboot: {other}')

    outputs['undo.txt'] = _output(node, 'undo')
    outputs['status-after.txt'] = _output(node, 'status', status=1)
    left = _document(node, 'plan')
    _demand(
        _is(left) == _is(planned),
        f'not as before: {_is(left)}, not {_is(planned)}',
    )
    return outputs


def _is(planned: dict[str, Any]) -> dict[str, Any]:
    """Return what there is of each setting that would be changed."""
    return {each['setting']: each['is'] for each in planned['changes']}


def _demand(kept: bool, otherwise: str) -> None:
    if not kept:
        raise LabError(f'walkthrough: {otherwise}')


def _document(node: Node, verb: str) -> Any:
    # Exit status 1 tells of a drift.
    printed = node.run(
        f'{_TOOL} host {verb} -f json || [ $? = 1 ]', timeout=300
    )
    return json.loads(_one_name(printed))


def _output(node: Node, verb: str, status: int = 0) -> str:
    """Return what a command prints, below its command line.

    :raises LabError: its exit status is another one.
    """
    printed = node.run(
        f'{_TOOL} host {verb} 2>&1; echo "(exit status $?)"', timeout=300
    )
    last = f'(exit status {status})\n'
    _demand(printed.endswith(last), f'host {verb}: {printed}')
    if not status:
        printed = printed.removesuffix(last)
    return f'# kvm-tuning host {verb}\n{_one_name(printed)}'


def _one_name(printed: str) -> str:
    """Give the node's one turning SCSI disk the same name in all outputs: it
    is sda or sdb, whichever the kernel finds first at a boot.
    """
    return printed.replace('scheduler of sdb', 'scheduler of sda')


def _differences(name: str, wanted: str) -> list[str]:
    path = FOLDER / name
    return [
        *difflib.unified_diff(
            (path.read_text() if path.exists() else '').splitlines(True),
            wanted.splitlines(True),
            f'{name} as it is',
            f'{name} as it should be',
        )
    ]
