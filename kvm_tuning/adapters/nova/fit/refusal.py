"""Say why there is no room for a guest on one of Nova's hosts."""

from collections.abc import Sequence

from kvm_tuning.adapters.nova.fit.problem import Line, Problem
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.solver import matching, refusal


def why(problem: Problem, lines: Sequence[Line]) -> str:
    """Say why there is no seating, as far as it can be determined."""
    short = matching.shortage(
        [[cost is not None for cost in line.costs] for line in lines]
    )
    if short is not None:
        # Of pCPUs alone, so that Nova need not be asked about the rest.
        wanting, columns = short
        rows = problem.host.rows
        ids = [problem.cells[column].id for column in columns]
        try:
            return str(
                refusal.too_few_cells(
                    problem.fitter,
                    wanting,
                    [rows[number] for number in ids if number in rows],
                )
            )
        except KvmTuningError as error:
            return str(error)
    for index, line in enumerate(lines):
        if line.reserved and line.stand.only_shared:
            return (
                f'guest cell {index} has no dedicated vCPU, so that Nova '
                'reserves no pCPU for its isolated emulator threads'
            )
        if all(cost is None for cost in line.allowed()):
            return (
                f'the memory, pages or limits of every host cell are too '
                f'small for guest cell {index}'
            )
    return (
        'the host cells that have room are too few, or too far from the '
        'devices or networks'
    )
