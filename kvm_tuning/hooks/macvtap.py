"""macvtap modes of the guest's direct NICs."""

from collections.abc import Iterable

from kvm_tuning.core.consequences import host_unreachable, not_migratable
from kvm_tuning.core.effects import Consequence, Element, Hold
from kvm_tuning.core.exceptions import ConflictingKnobs, Exhausted
from kvm_tuning.core.guest import Guest, Interface
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

MODE = 'kvm:macvtap_mode'


class Macvtap(Hook):
    """A direct NIC is a macvtap device on one of the host's NICs. The network
    decides the VIF type of a port, so this hook sets only the mode of NICs
    that are direct.
    """

    name = 'macvtap'
    knobs = (
        Knob(
            MODE,
            Choice(('bridge', 'vepa', 'private', 'passthrough')),
            'How guests on one NIC of the host see each other: directly '
            '(bridge), through the switch (vepa), or not at all (private); '
            'with passthrough the guest has the NIC to itself.',
            of_device=True,
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(MODE)
        if asked is None:
            return
        nics = [nic for nic in guest.interfaces if nic.type == 'direct']
        if not nics:
            yield unkept(
                asked,
                'no direct NIC',
                'the guest has no NIC of type direct (macvtap)',
            )
            return
        for nic in nics:
            _refuse(asked, nic, nics, site)
            yield Element(f'{nic.path}/source', {'mode': str(asked.value)})
            if asked.value == 'passthrough':
                yield Hold(f'nic/{nic.source.get("dev", "")}')
        devices = {nic.source.get('dev', '') for nic in nics}
        names = ', '.join(sorted(devices))
        yield host_unreachable(devices)
        if request.value('os_type') == 'windows':
            yield Consequence(
                'windows-macvtap',
                'tenant',
                'Windows guests change MAC filters in a way that macvtap '
                'passes on only with trustGuestRxFilters',
            )
        yield not_migratable(
            f'migration needs a NIC named {names} on the destination host, '
            'and connections break'
        )


def _refuse(
    asked: Asked, nic: Interface, nics: list[Interface], site: Site
) -> None:
    """Raise if one NIC's device rules out ``asked``."""
    device = nic.source.get('dev', '')
    management = site.capabilities.management_nics
    if management is not None and device in management:
        raise ConflictingKnobs(
            f'{asked}: {device} carries the address or the default route of '
            'the host; a guest on it could not reach the host, and '
            'passthrough would cut the host off: use another NIC'
        )
    if asked.value != 'passthrough':
        return
    if sum(other.source.get('dev') == device for other in nics) > 1:
        raise ConflictingKnobs(
            f'{asked}: two NICs of the guest are on {device}, and passthrough '
            'gives it to only one'
        )
    functions = {
        function.address
        for function in site.inventory.devices
        if device in function.interfaces
    }
    if not site.ledger.devices.isdisjoint({f'nic/{device}', *functions}):
        raise Exhausted(f'{asked}: another guest has {device} to itself')
