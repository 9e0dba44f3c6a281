"""Consequences of a plan in one wording: whether the guest can migrate,
whether the host can reach it, and what a resize will change.
"""

from collections.abc import Iterable, Sequence

from kvm_tuning.core.effects import Consequence, Effect, Element
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request

#: Codes: they never change.
NOT_MIGRATABLE = 'not-migratable'
HOST_UNREACHABLE = 'host-unreachable'
RESIZE = 'resize'


def not_migratable(why: str) -> Consequence:
    """Return that a guest cannot be live-migrated, or not without loss."""
    return Consequence(NOT_MIGRATABLE, 'operator', why)


def host_unreachable(nics: Iterable[str]) -> Consequence:
    """Return that the host and the guest cannot reach each other over
    ``nics``: a macvtap never loops back to its lower device.
    """
    names = ', '.join(sorted(nics))
    return Consequence(
        HOST_UNREACHABLE,
        'tenant',
        f'the host and the guest cannot reach each other over {names}',
    )


def resize(
    request: Request, placement: Placement, effects: Sequence[Effect]
) -> Iterable[Consequence]:
    """Yield what a resize of the guest chooses again; nothing for a guest
    whose tuning does not depend on its size.
    """
    changes = [
        what
        for what, is_so in (
            ('pCPUs', bool(placement.pins)),
            (
                'NUMA cells',
                any(not c.page_kib for c in placement.cells)
                and bool(placement.pins),
            ),
            ('huge pages', any(c.page_kib for c in placement.cells)),
            ('the cache topology that it sees', _sees_caches(effects)),
            (
                'queues',
                any(
                    asked.value == 'auto'
                    for asked in request.asked.values()
                    if asked.knob and asked.knob.queues_of
                ),
            ),
            (
                'the VFs and devices of the host',
                any(placement.devices.values()),
            ),
        )
        if is_so
    ]
    if changes:
        yield Consequence(
            RESIZE,
            'tenant',
            'a resize restarts the guest and chooses again: '
            f'{", ".join(changes)}',
        )


def _sees_caches(effects: Sequence[Effect]) -> bool:
    return any(
        isinstance(effect, Element) and effect.path == 'cpu/cache'
        for effect in effects
    )
