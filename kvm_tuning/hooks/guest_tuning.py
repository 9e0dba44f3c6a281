"""Settings that only the guest itself can make; cloud-init delivers them."""

from collections.abc import Iterable

from kvm_tuning.core.effects import (
    Consequence,
    Phase,
    Scope,
    Setting,
    SettingKind,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.guest_boot import (
    ANY,
    CHANNELS,
    HUGE_PAGES,
    IRQBALANCE,
    SCHEDULER,
)
from kvm_tuning.core.knobs import Flag, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome
from kvm_tuning.hooks.vif_queues import queues_of

TUNING = 'kvm:guest_tuning'

#: The host schedules requests; the guest need not.
_NO_ORDER = 'none'


class GuestTuning(Hook):
    """Settings of scope guest, read by tools inside the guest."""

    name = 'guest_tuning'
    knobs = (
        Knob(
            TUNING,
            Flag(),
            'The guest enables all queues of its NICs, leaves the order of '
            'disk requests to the host, uses transparent huge pages where '
            'programs request them, and balances its interrupts.',
            unaudited='set inside the guest, which the host cannot see into',
            never_refused='where the guest cannot use it, the plan says so',
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        if not request.value(TUNING):
            return
        if request.value('os_type') == 'windows':
            yield Consequence(
                'guest-tuning-skipped',
                'tenant',
                'guest tuning is for Linux guests, and this guest is Windows',
            )
            return
        queues = queues_of(request, guest, site)
        for nic in guest.queued_nics:
            if nic.mac is not None:
                yield _setting(f'{CHANNELS}/{nic.mac}', str(queues))
        for disk in guest.data_disks:
            yield _setting(f'{SCHEDULER}/{disk.target}', _NO_ORDER)
        yield from _OF_ANY
        yield Consequence(
            'guest-tuning',
            'tenant',
            'the guest needs cloud-init to receive its tuning',
        )


def _setting(name: str, value: str) -> Setting:
    return Setting(
        SettingKind.GUEST, name, value, Scope.GUEST, Phase.AFTER_START
    )


_OF_ANY = (_setting(HUGE_PAGES, 'madvise'), _setting(IRQBALANCE, 'on'))
#: All queues that each NIC has, whatever NICs there are.
ANY_CHANNELS = _setting(f'{CHANNELS}/{ANY}', 'all')


def for_any_guest() -> tuple[Setting, ...]:
    """Return the settings that suit any Linux guest, whatever its devices."""
    return (
        ANY_CHANNELS,
        _setting(f'{SCHEDULER}/{ANY}', _NO_ORDER),
        *_OF_ANY,
    )
