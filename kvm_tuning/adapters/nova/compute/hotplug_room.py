"""What a running guest has room for, of what a plugged device should get.

A plan describes a guest that will start. A running guest keeps its iothreads
and the queues of its other devices: a new device can have what is left.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvm_tuning.core import queue_budget
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.xml import paths
from kvm_tuning.hooks import iothreads


def left(
    effects: Iterable[Element | Absent],
    tag: str,
    request: Request,
    guest: Guest,
) -> Iterator[Element | Absent]:
    """Yield those of a device's effects that a running guest can have.

    :param tag: ``interface`` or ``disk``.
    :param guest: as it runs, without the device.
    :raises Unsupported: a promise needs more than is left.
    """
    for effect in effects:
        if isinstance(effect, Absent):
            yield effect
            continue
        if 'queues' in effect.attributes:
            effect = _queues(effect, tag, request, guest)
        number = _iothread(effect)
        if number is None or number in guest.sizes.iothread_ids:
            yield effect
            continue
        _refuse(
            _asked(request, iothreads.MAP, iothreads.COUNT),
            f'iothread {number} would serve the disk, but the running guest '
            f'has only {guest.iothreads}',
        )
        attributes = dict(effect.attributes)
        if attributes.pop('iothread', None) is not None and attributes:
            yield replace(effect, attributes=attributes)


def _queues(
    effect: Element, tag: str, request: Request, guest: Guest
) -> Element:
    """Return the effect with as many queues as there are interrupts for."""
    routes = queue_budget.ROUTES - queue_budget.in_use(guest)
    most = (routes - 2) // 2 if tag == 'interface' else routes - 1
    queues = int(effect.attributes['queues'] or 1)
    if queues <= most:
        return effect
    asked = _queues_asked(request, tag)
    why = f'the devices of the running guest leave interrupts for {most}'
    if most < 1:
        raise Unsupported(f'{asked} cannot be kept: {why}')
    if asked is not None and isinstance(asked.value, int):
        _refuse(asked, why)
    return replace(
        effect, attributes={**effect.attributes, 'queues': str(most)}
    )


def _iothread(effect: Element) -> int | None:
    """Return the iothread that an effect names."""
    number = effect.attributes.get('iothread')
    if number is not None:
        return int(number)
    last = paths.steps(effect.path)[-1] if effect.path else None
    if last is not None and last.tag == 'iothread' and last.keys:
        return int(last.keys[0].value)
    return None


def _queues_asked(request: Request, tag: str) -> Asked | None:
    """Return who asks for the queues of a device: a key of Nova's only where
    none of ours does.
    """
    found = [
        (asked.knob.nova, asked)
        for asked in request.asked.values()
        if asked.knob and asked.knob.queues_of == tag
    ]
    return min(found, key=lambda each: each[0])[1] if found else None


def _asked(request: Request, *keys: str) -> Asked | None:
    return next(filter(None, map(request.get, keys)), None)


def _refuse(asked: Asked | None, why: str) -> None:
    if asked is not None and asked.promise:
        raise Unsupported(
            f'{asked} cannot be kept: {why}; plug it in while the server is '
            f'stopped'
        )
