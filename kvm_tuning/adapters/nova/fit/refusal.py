"""Say why there is no room for a guest on one of Nova's hosts."""

from collections.abc import Sequence

from kvm_tuning.adapters.nova.fit.pairing import CellOptions, Pairing
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.solver import matching, refusal


def why(pairing: Pairing, all_options: Sequence[CellOptions]) -> str:
    """Say why there is no seating, as far as it can be determined."""
    short = matching.shortage(
        [
            [cost is not None for cost in options.costs]
            for options in all_options
        ]
    )
    if short is not None:
        # Of pCPUs alone, so that Nova need not be asked about the rest.
        wanting, columns = short
        rows = pairing.host.rows
        ids = [pairing.cells[column].id for column in columns]
        try:
            return str(
                refusal.too_few_cells(
                    pairing.fitter,
                    wanting,
                    [rows[number] for number in ids if number in rows],
                )
            )
        except KvmTuningError as error:
            return str(error)
    for index, options in enumerate(all_options):
        if options.reserved and options.guest_cell.only_shared:
            return (
                f'guest cell {index} has no dedicated vCPU, so that Nova '
                'reserves no pCPU for its isolated emulator threads'
            )
        if all(cost is None for cost in options.allowed()):
            return (
                f'the memory, pages or limits of every host cell are too '
                f'small for guest cell {index}'
            )
    return (
        'the host cells that have room are too few, or too far from the '
        'devices or networks'
    )
