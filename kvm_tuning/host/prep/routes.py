"""Finds the route to a value: what the kernel wants written in between, what
that interrupts, and why it is refused. Apply and undo ask the same.
"""

from collections.abc import Callable
from dataclasses import replace
import re

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    DIRECT,
    Address,
    Note,
    Route,
    Terms,
    Value,
)
from kvm_tuning.host.prep.groups import ksm, kvm_modules
from kvm_tuning.host.prep.groups.sriov import route as sriov_route
from kvm_tuning.host.prep.kinds import vf_count

#: Returns the route of an address that its pattern matches.
Finder = Callable[[Host, Terms, Address, Value, Value], Route]

_FINDERS: tuple[tuple[str, str, Finder], ...] = (
    ('sysfs', ksm.DIRECTORY + '/.*', ksm.route),
    ('sysfs', vf_count.PATTERN, sriov_route.route),
    ('running-parameter', r'.*\.max_vfs', sriov_route.reload_route),
    ('running-parameter', r'.*', kvm_modules.route),
)


def find(
    host: Host, terms: Terms, address: Address, found: Value, target: Value
) -> Route:
    """Return the route from ``found`` to ``target``; refusals that the
    operator has lifted are notes in it.
    """
    if found == target:
        return DIRECT
    for kind, pattern, finder in _FINDERS:
        if kind == address[0] and re.fullmatch(pattern, address[1]):
            return _lift(finder(host, terms, address, found, target), terms)
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
