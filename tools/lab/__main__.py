"""The lab: a Linux host with NUMA cells, SR-IOV and KVM, in one process.

    python tools/lab build            its disk image, and the golden state
    python tools/lab start            restore it, with the project inside
    python tools/lab run COMMAND...   run a command (or a shell) in it
    python tools/lab test [GROUP...]  run tests/lab inside, and stop it
    python tools/lab walkthrough      write the outputs that the docs show
    python tools/lab install          put the checkout's project in, again
    python tools/lab reboot           boot it cold, with the disk it has
    python tools/lab stop

It needs root, Debian's packages of bindep.txt's profile "lab", and 8 GB of
disk in .cache/lab (or in $KVM_TUNING_CACHE/lab).
"""

import argparse
import os
from pathlib import Path
import subprocess
import sys

sys.path[0] = str(Path(__file__).resolve().parents[2])
from tools.lab import project, suite, walkthrough
from tools.lab.node import Node
from tools.lab.places import alone, say
from tools.lib.checkout import ToolError

#: Nodes that tests run on at once: a node is busy on one CPU most of the time.
NODES = min(2, os.cpu_count() or 1)


def _start(node: Node, _options: argparse.Namespace) -> int:
    node.start()
    project.install(node)
    return 0


def _build(node: Node, _options: argparse.Namespace) -> int:
    node.make_golden()
    return 0


def _test(node: Node, options: argparse.Namespace) -> int:
    if options.tests and not options.groups:
        modules = {test.partition('.')[0] for test in options.tests}
        options.groups = [
            group.name
            for group in suite.GROUPS
            if modules.intersection(group.steps)
        ]
    groups = [suite.SMOKE] if options.smoke else suite.chosen(options.groups)
    nodes = [node]
    if len(groups) > 1 and not options.keep:
        nodes += [Node(f'node{number}') for number in range(2, NODES + 1)]
    try:
        return 0 if suite.run(nodes, groups, options.tests) else 1
    finally:
        if not options.keep:
            for each in nodes:
                each.stop()


def _walkthrough(node: Node, options: argparse.Namespace) -> int:
    try:
        return 0 if walkthrough.run(node, options.check) else 1
    finally:
        node.stop()


def _install(node: Node, _options: argparse.Namespace) -> int:
    project.install(node)
    return 0


def _reboot(node: Node, _options: argparse.Namespace) -> int:
    node.reboot()
    return 0


def _stop(node: Node, _options: argparse.Namespace) -> int:
    node.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='lab',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar='VERB')
    for name, function in (
        ('build', _build),
        ('start', _start),
        ('install', _install),
        ('reboot', _reboot),
        ('stop', _stop),
        ('test', _test),
        ('walkthrough', _walkthrough),
    ):
        verb = verbs.add_parser(name)
        verb.set_defaults(function=function)
        if name == 'test':
            verb.add_argument('groups', nargs='*', metavar='GROUP')
            verb.add_argument('--smoke', action='store_true')
            verb.add_argument(
                '--tests',
                action='append',
                default=[],
                metavar='TEST',
                help='Only this module, class or test, from tests.lab on.',
            )
            verb.add_argument(
                '--keep', action='store_true', help='Leave the node running.'
            )
        if name == 'walkthrough':
            verb.add_argument(
                '--check', action='store_true', help='Write nothing; compare.'
            )
    return parser


def main() -> int:
    """Return the exit status; 3 when the lab could not be had."""
    if sys.argv[1:2] == ['run']:  # No option of ours: all words are its own.
        return Node().call(sys.argv[2:])
    options = _parser().parse_args()
    try:
        with alone():
            return int(options.function(Node(), options))
    except (ToolError, subprocess.SubprocessError) as error:
        say(str(error))
        return 3


if __name__ == '__main__':
    sys.exit(main())
