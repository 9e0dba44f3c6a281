"""Find the route to a value: intermediate writes, interruptions, refusals.

Apply and undo take the same routes.
"""

from dataclasses import replace

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    DIRECT,
    Address,
    Note,
    Route,
    Terms,
    Value,
)
from kvm_tuning.host.prep.groups.table import GROUPS


def find(
    host: Host, terms: Terms, address: Address, found: Value, target: Value
) -> Route:
    """Return the route from ``found`` to ``target``, with refusals that the
    operator has lifted turned into notes.
    """
    if found == target:
        return DIRECT
    for group in GROUPS:
        for way in group.ways:
            if way.fits(address):
                route = way.find(host, terms, address, found, target)
                return _lift(route, terms)
    return Route(timeout=terms.write_timeout)


def _lift(route: Route, terms: Terms) -> Route:
    lifted = tuple(r for r in route.refusals if terms.lifts(r))
    if not lifted:
        return route
    return replace(
        route,
        refusals=tuple(r for r in route.refusals if r not in lifted),
        notes=route.notes
        + tuple(
            Note(r.concern, f'{r.subject}: {r.reason} (allowed)')
            for r in lifted
        ),
    )
