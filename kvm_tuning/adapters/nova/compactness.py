"""How good a host would be for a guest: what the weigher compares."""

from kvm_tuning.adapters.nova.fit import Found

Score = tuple[int, ...]


def score(found: Found) -> Score:
    """Return a score, lower is better: first how many L3 domains beyond the
    fewest the guest would span, then the solver's own cost, and last how much
    of the host is free. Guests without dedicated vCPUs are all alike.
    """
    fits = [
        fit
        for line, column in zip(found.lines, found.columns, strict=True)
        if (fit := line.fits[column]) is not None
    ]
    if not fits:
        return ()
    over = sum(max(0, fit.packing.spans - fit.fewest) for fit in fits)
    cost = [
        sum(entries) for entries in zip(*(f.cost for f in fits), strict=True)
    ]
    free = sum(found.problem.fitter.stock.row_free)
    return (over, *cost, free)
