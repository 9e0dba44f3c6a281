"""The base class of a hook: its knobs, and pure functions of a request.

A hook decides; it never acts. It says what it needs of the site
(:mod:`~kvm_tuning.core.demands`) and what must hold
(:mod:`~kvm_tuning.core.effects`). The rules:

1. No I/O, clock or randomness. It is called only when one of its knobs is
   requested.
2. It raises only :class:`~kvm_tuning.core.exceptions.RequestError` or
   :class:`~kvm_tuning.core.exceptions.Refused`; anything else is reported as a
   bug of this hook, by name.
3. A different value from another hook at the same address is a conflict; the
   last one never wins.
4. It fails closed: a promise (a value from a flavor or an image) that cannot
   be kept is refused; a preference (from a profile or the defaults) that
   cannot be kept is yielded as :class:`~kvm_tuning.core.placement.Unkept`.
"""

from abc import ABC
from collections.abc import Iterable
from typing import ClassVar

from kvm_tuning.core.demands import Demand
from kvm_tuning.core.effects import Consequence, Effect, Hold
from kvm_tuning.core.exceptions import RequestError, Unsupported
from kvm_tuning.core.guest import Guest, Interface
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.placement import Placement, Unkept
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Probe, Site

Outcome = Effect | Consequence | Hold | Unkept


class Hook(ABC):
    """One concern of a guest. Subclasses are stateless."""

    #: The entry point's name.
    name: ClassVar[str]
    #: The knobs that it owns; no other hook may own them.
    knobs: ClassVar[tuple[Knob, ...]]
    #: Keys of other hooks' knobs that also cause it to be called.
    also: ClassVar[tuple[str, ...]] = ()
    #: Whether it is also called when Nova's own keys give the guest cells.
    cells: ClassVar[bool] = False
    #: Whether it sees the guest's devices as they are; other hooks see them
    #: with the requested models (hw_vif_model, hw_disk_bus).
    as_it_is: ClassVar[bool] = False

    def wanted(self, request: Request) -> bool:
        """Return whether one of its knobs is requested."""
        if self.cells and request.topology is not None:
            return True
        return any(knob.name in request.names for knob in self.knobs) or any(
            name in request.names for name in self.also
        )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        """Check the request before there is a guest or a host: yield errors
        and consequences.
        """
        return ()

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        """Yield what the guest needs of the site."""
        return ()

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        """Yield what must hold, the consequences, and what was not kept."""
        return ()


def unkept(asked: Asked, found: str, reason: str) -> Unkept:
    """Raise if ``asked`` is a promise; return the note if it is a preference.

    :raises Unsupported: ``asked`` is a promise.
    """
    if asked.promise:
        raise Unsupported(f'{asked} cannot be kept: {reason}')
    return Unkept(asked.key, asked.text, found, reason)


def missed(asked: Asked, found: str, reason: str) -> Unkept:
    """Return the note that a value does not apply to some devices: the rest
    of the guest is tuned all the same.
    """
    return Unkept(asked.key, asked.text, found, reason)


def other_nics(asked: Asked, nics: Iterable[Interface]) -> Iterable[Unkept]:
    """Yield the note on the NICs that a promise for virtio NICs does not
    reach; devices of the host that are passed through are none of them.
    """
    names = [
        f'{nic.mac} ({nic.type}, {nic.model or "no model"})'
        for nic in nics
        if nic.type != 'hostdev'
    ]
    if names and asked.promise:
        yield missed(
            asked, 'not set', f'it does not reach NIC {", ".join(names)}'
        )


def works(probe: Probe) -> bool:
    """Return whether a probe succeeded or could not be made."""
    return probe.works is not False
