"""Score how good a host would be for a guest: what the weigher compares."""

from kvm_tuning.adapters.nova.fit.fit import Solution

Score = tuple[int, ...]


def score(found: Solution) -> Score:
    """Return a score, lower is better.

    It compares how many L3 domains beyond the fewest the guest would span;
    then how much of its host cells is free, so that crowded ones fill up and
    others stay whole; among equals the host with more room wins, and last the
    solver's own cost decides. Guests without dedicated vCPUs all score the
    same.
    """
    fits = [choice.fit for choice in found.choices if choice.fit is not None]
    if not fits:
        return ()
    row_free = found.pairing.fitter.stock.row_free
    return (
        sum(max(0, fit.packing.spans - fit.fewest) for fit in fits),
        sum(row_free[fit.row.index] for fit in fits),
        -sum(row_free),
        *map(sum, zip(*(fit.cost for fit in fits), strict=True)),
    )
