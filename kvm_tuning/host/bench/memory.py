"""Run the memory workload: random reads by two threads."""

import json
import subprocess

from kvm_tuning.core.bench import memory
from kvm_tuning.core.bench.arms import Arm
from kvm_tuning.core.exceptions import BenchFailed

#: Reads of each thread: a second or two of a processor of today.
BLOCKS = 2_000_000
#: The seed of what the buffers hold and of what is read.
SEED = 20260101
_SECONDS = 900.0


def run(
    program: str,
    arm: Arm,
    size_mib: int,
    blocks: int = BLOCKS,
    seed: int = SEED,
) -> memory.Run:
    """Run the program once.

    :param program: its path.
    :param size_mib: the size of each of both buffers.
    :raises BenchFailed: it fails.
    """
    cells = '-' if arm.cells is None else ','.join(map(str, arm.cells))
    threads = [','.join(map(str, sorted(cpus))) for cpus in arm.cpus]
    words = [str(size_mib), str(blocks), str(seed), cells, *threads]
    try:
        done = subprocess.run(
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_SECONDS,
            check=False,
        )
    except OSError as error:
        raise BenchFailed(
            f'{program} cannot be run: {error.strerror}'
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BenchFailed(
            f'{arm.name}: one run takes longer than {_SECONDS:.0f} s'
        ) from error
    if done.returncode:
        said = ' '.join(done.stderr.split()) or f'status {done.returncode}'
        raise BenchFailed(f'{arm.name}: {said}')
    try:
        return memory.read(json.loads(done.stdout), size_mib)
    except (KeyError, TypeError, ValueError) as error:
        raise BenchFailed(f'{program} prints what is not JSON') from error
