"""The tests that run in the node, in groups that share a restore."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
import queue
import subprocess
import sys
import time
from typing import BinaryIO

from tools.lab import project
from tools.lab.node import Node
from tools.lab.places import LabError, folder, say
from tools.lib.checkout import TOP

#: The step that shuts the node down and boots it cold, on the same disk.
REBOOT = 'reboot'


@dataclass(frozen=True)
class Group:
    """Tests that run one after another on one restored node.

    :ivar steps: modules of ``tests/lab``, tests in them, or :data:`REBOOT`
    :ivar deadline: seconds until each step must have ended
    """

    name: str
    steps: tuple[str, ...]
    deadline: int = 600


# The longest come first: two run at once.
GROUPS = (
    Group(
        'cloud-init',
        (
            'test_cloud_init_seed',
            REBOOT,
            'test_cloud_init_first',
            REBOOT,
            'test_cloud_init_second',
            REBOOT,
            'test_cloud_init_wrong',
        ),
    ),
    Group('killed', ('test_killed',), 900),
    Group(
        'reboot',
        (
            'test_reboot_before',
            REBOOT,
            'test_reboot_after',
            REBOOT,
            'test_reboot_undone',
        ),
        400,
    ),  # fmt: skip
    Group('host-prep', ('test_host_prep',), 1200),
    Group('passthrough', ('test_passthrough',), 900),
    Group('guests', ('test_guests',)),
    Group('macvtap', ('test_macvtap',), 900),
    Group('inventory', ('test_inventory',)),
)

#: What is run where there is little time.
SMOKE = Group(
    'smoke',
    ('test_guests', 'test_host_prep.LineTest.test_apply_status_and_undo'),
)


def chosen(names: Sequence[str]) -> list[Group]:
    """Return the groups of these names; all without one.

    :raises LabError: there is no such group, or a module is in none.
    """
    known = {group.name: group for group in GROUPS}
    steps = {step for group in GROUPS for step in group.steps}
    modules = {path.stem for path in (TOP / 'tests/lab').glob('test_*.py')}
    if modules != steps - {REBOOT}:
        raise LabError(
            f'tools/lab/suite.py and tests/lab differ: '
            f'{", ".join(sorted(modules ^ (steps - {REBOOT})))}'
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        raise LabError(
            f'no such group: {", ".join(unknown)}; there are '
            f'{", ".join(known)}'
        )
    return [known[name] for name in names] if names else [*GROUPS]


def run(
    nodes: Sequence[Node],
    groups: Sequence[Group],
    tests: Sequence[str] = (),
) -> bool:
    """Run groups, one on each node at a time; return whether all has passed.

    Results go to stestr, which prints those that failed and the totals.

    :param tests: run only these, named from ``tests.lab`` on
    :raises LabError: no node can be started.
    """
    begun = time.monotonic()
    if SMOKE in groups:
        nodes[0].image.build()
    else:
        nodes[0].make_golden()
    project.make(nodes[0].image)
    free = queue.SimpleQueue[Node]()
    for node in nodes:
        free.put(node)
    lost = []
    with (
        subprocess.Popen(
            [sys.executable, '-m', 'stestr', 'load', '--force-init'],
            cwd=TOP,
            stdin=subprocess.PIPE,
        ) as report,
        ThreadPoolExecutor(len(nodes)) as pool,
    ):
        assert report.stdin is not None
        runs = [pool.submit(_group, free, group, tests) for group in groups]
        for each in as_completed(runs):
            stream, message = each.result()
            report.stdin.write(stream)
            report.stdin.flush()
            lost += [message] if message else []
        report.stdin.close()
        report.wait()
    # load itself prints no totals, and succeeds whatever the tests have done.
    last = subprocess.run([sys.executable, '-m', 'stestr', 'last'], cwd=TOP)
    for message in lost:
        say(message)
    say(f'{len(groups)} groups in {time.monotonic() - begun:.0f} s')
    return report.returncode == last.returncode == 0 and not lost


def _group(
    free: queue.SimpleQueue[Node], group: Group, tests: Sequence[str]
) -> tuple[bytes, str]:
    """Run a group on a free node, once more if the node is lost on the way.

    A test that fails has failed; only what happens to the node, which is
    emulated, is tried again. Return what the tests have told, and why not
    all of them have.
    """
    node = free.get()
    stream = folder() / f'{group.name}.subunit'
    stream.write_bytes(b'')
    message = ''
    try:
        for _ in range(2):
            try:
                _attempt(node, group, tests, stream)
            except LabError as error:
                message = f'{group.name} was not finished: {error}'
                say(message)
            else:
                return stream.read_bytes(), ''
        return stream.read_bytes(), message
    finally:
        free.put(node)


def _attempt(
    node: Node, group: Group, tests: Sequence[str], stream: Path
) -> None:
    # Saving a state takes longer than it would save the smoke.
    if group is SMOKE and not node.is_golden():
        node.boot()
        node.warm()
    else:
        node.start()
    project.install(node)
    with open(stream, 'wb') as out:
        for step in group.steps:
            begun = time.monotonic()
            if step == REBOOT:
                node.reboot()
                continue
            run_module(node, step, tests, out, group.deadline)
            out.flush()
            say(f'{step}: {time.monotonic() - begun:.0f} s')


def run_module(
    node: Node,
    module: str,
    tests: Sequence[str],
    out: BinaryIO,
    deadline: int,
) -> None:
    """Run a module's tests in the node; their subunit stream goes to ``out``.

    :raises LabError: the node is lost, or the deadline is over.
    """
    chosen_tests = [
        f'tests.lab.{test}'
        for test in tests
        if test == module or test.startswith(module + '.')
    ] or [f'tests.lab.{module}']
    node.run(
        f'{project.ENVIRONMENT} timeout -k 10 {deadline} '
        f'{project.VENV}/bin/python -m subunit.run {" ".join(chosen_tests)}',
        timeout=deadline + 30,
        stdout=out,
        check=False,
    )
    if node.pid() is None:
        raise LabError('QEMU ended')
    node.run('true', timeout=30)
