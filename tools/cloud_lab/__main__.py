"""Lab nodes as compute hosts of the cloud: tools/lab below tools/cloud.

    python tools/cloud_lab build           the nodes' image and saved state
    python tools/cloud_lab up              the cloud, and two nodes in it
    python tools/cloud_lab run NODE ...    run a command in a node, such as
                                           lab1
    python tools/cloud_lab join            boot one more, which sets itself up
                                           by cloud-init
    python tools/cloud_lab leave           end that one
    python tools/cloud_lab test [TEST...]  run tests/cloud_lab, and end it all
    python tools/cloud_lab down            end the nodes and the cloud

It needs root, Debian's packages of bindep.txt's profiles "lab" and "cloud",
and 8 GB of disk and of memory.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import subprocess
import sys

_TOOLS = Path(__file__).resolve().parents[1]
sys.path[0] = str(Path(__file__).resolve().parents[2])
from tools.cloud_lab import compute
from tools.cloud_lab.compute import ComputeNode
from tools.cloud_lab.nova_image import NOVA
from tools.lab.node import Node
from tools.lab.places import LabError, alone, folder, say
from tools.lib.checkout import TOP, ToolError, wheel

#: Those that are restored, and the one that cloud-init makes.
_RESTORED = (1, 2)
_JOINS = 3
_TESTS = './tests/cloud_lab'


def _cloud(*words: str) -> None:
    """Run the cloud's harness.

    :raises LabError: it fails.
    """
    command = [sys.executable, str(_TOOLS / 'cloud'), *words]
    status = subprocess.call(command)
    if status:
        raise LabError(f'tools/cloud {words[0]} failed ({status})')


def _hosts(verb: str, *numbers: int) -> None:
    script = str(_TOOLS / 'cloud_lab/hosts.py')
    _cloud('run', 'python', script, verb, *map(compute.name, numbers))


def _built() -> Path:
    """Return the project's wheel, as it was built for the nodes."""
    (built,) = (folder() / 'wheel').glob('*.whl')
    return built


def _build(_options: argparse.Namespace) -> int:
    ComputeNode(_RESTORED[0]).make_golden()
    return 0


def _up(_options: argparse.Namespace) -> int:
    nodes = [ComputeNode(number) for number in _RESTORED]
    nodes[0].make_golden()
    _cloud('up', 'control')
    ours = compute.project(wheel(folder() / 'wheel'))

    def start(node: ComputeNode) -> None:
        node.start()
        node.prepare(ours)

    with ThreadPoolExecutor() as pool:
        list(pool.map(start, nodes))
    # Of a run that was not ended.
    _hosts('forget', *_RESTORED, _JOINS)
    for node in nodes:
        node.compute()
    _hosts('wait', *_RESTORED)
    say(f'{" and ".join(map(compute.name, _RESTORED))} are compute hosts')
    return 0


def _down(_options: argparse.Namespace) -> int:
    for number in (*_RESTORED, _JOINS):
        Node(compute.name(number)).stop()
    _cloud('down')
    return 0


def _join(_options: argparse.Namespace) -> int:
    compute.seeded(_JOINS, _built()).boot()
    return 0


def _leave(_options: argparse.Namespace) -> int:
    Node(compute.name(_JOINS)).stop()
    return 0


def _test(options: argparse.Namespace) -> int:
    try:
        _up(options)
        command = [
            sys.executable, str(_TOOLS / 'cloud'), 'run',
            'stestr', 'run', '--worker-file', f'{_TESTS}/workers.yaml',
            *options.tests,
        ]  # fmt: skip
        more = {
            'OS_TEST_PATH': os.environ.get('OS_TEST_PATH', _TESTS),
            'KVM_TUNING_CLOUD_LAB': '1',
        }
        return subprocess.call(command, cwd=TOP, env=os.environ | more)
    finally:
        if not options.keep:
            _down(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='cloud_lab',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar='VERB')
    for name, function in (
        ('build', _build),
        ('up', _up),
        ('join', _join),
        ('leave', _leave),
        ('test', _test),
        ('down', _down),
    ):
        verb = verbs.add_parser(name)
        # A test calls these, while the harness waits for the tests.
        within = name in ('join', 'leave')
        verb.set_defaults(function=function, within=within)
        if name == 'test':
            verb.add_argument('tests', nargs='*', metavar='TEST')
            verb.add_argument(
                '--keep', action='store_true', help='Leave all of it running.'
            )
    return parser


def main() -> int:
    """Return the exit status; 3 when it could not be had."""
    if sys.argv[1:2] == ['run']:  # No option of ours: all words are its own.
        return Node(sys.argv[2], NOVA).call(sys.argv[3:])
    options = _parser().parse_args()
    try:
        if options.within:
            return int(options.function(options))
        with alone():
            return int(options.function(options))
    except (ToolError, subprocess.SubprocessError) as error:
        say(str(error))
        return 3


if __name__ == '__main__':
    sys.exit(main())
