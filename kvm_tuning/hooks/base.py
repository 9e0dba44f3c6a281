"""What a hook is: knobs, and pure functions of what is asked.

A hook decides; it never does. It says what it needs of the site
(:mod:`~kvm_tuning.core.demands`) and what must hold
(:mod:`~kvm_tuning.core.effects`). The rules:

1. No I/O, clock or randomness. Called only when one of its knobs is asked.
2. Raises only :class:`~kvm_tuning.core.exceptions.RequestError` or
   :class:`~kvm_tuning.core.exceptions.Refused`; anything else is reported as
   this hook's bug, with its name.
3. Another hook's value at the same address is a conflict, never last-wins.
4. Fails closed: a promise (a flavor's or an image's value) that cannot be
   kept is refused; a preference (a profile's or a default's) that cannot be
   kept is yielded as :class:`~kvm_tuning.core.placement.Unkept`.
"""

from abc import ABC
from collections.abc import Iterable
from typing import ClassVar

from kvm_tuning.core.demands import Demand
from kvm_tuning.core.effects import Consequence, Effect, Hold
from kvm_tuning.core.exceptions import RequestError, Unsupported
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.placement import Placement, Unkept
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Probe, Site

Outcome = Effect | Consequence | Hold | Unkept


class Hook(ABC):
    """One concern of a guest. Subclasses are stateless."""

    #: The entry point's name.
    name: ClassVar[str]
    #: The knobs that it owns; no other hook may.
    knobs: ClassVar[tuple[Knob, ...]]
    #: Keys of other hooks' knobs that call it, too.
    also: ClassVar[tuple[str, ...]] = ()
    #: Whether Nova's own keys call it as soon as they give the guest cells.
    cells: ClassVar[bool] = False
    #: Whether it sees the guest's devices as they are; the others see them
    #: with the models that are asked for (hw_vif_model, hw_disk_bus).
    as_it_is: ClassVar[bool] = False

    def wanted(self, request: Request) -> bool:
        """Return whether one of its knobs is asked."""
        if self.cells and request.topology is not None:
            return True
        return any(knob.name in request.names for knob in self.knobs) or any(
            name in request.names for name in self.also
        )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        """Yield what is wrong with the request itself, and what its author
        should know, before there is a guest or a host.
        """
        return ()

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        """Yield what it needs of the site."""
        return ()

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        """Yield what must hold, what to know, and what was not kept."""
        return ()


def unkept(asked: Asked, found: str, reason: str) -> Unkept:
    """Return the refusal of a promise as an error, or else the note.

    :raises Unsupported: ``asked`` is a promise.
    """
    if asked.promise:
        raise Unsupported(f'{asked} cannot be kept: {reason}')
    return Unkept(asked.key, asked.text, found, reason)


def works(probe: Probe) -> bool:
    """Return whether a probe leaves hope: it worked, or was not possible."""
    return probe.works is not False
