"""A panic device for the guest: a hook from outside the tree.

All that a hook needs is this file and the entry point in pyproject.toml.
Once it is installed, ``kvm-tuning knob list``, the flavor checks, plans,
audits, undo and the reference pages know it.
"""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Flag, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome

PANIC = 'kvm:panic_device'


class PanicDevice(Hook):
    """The guest reports a kernel panic to the host (libvirt's formatdomain,
    "panic device"; the isa model is for x86 only).
    """

    name = 'panic_device'
    knobs = (
        Knob(
            PANIC,
            Flag(),
            'The guest has a pvpanic device (x86 only).',
            unaudited='QEMU has the device or does not start',
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        if not request.value(PANIC):
            return
        if guest.arch not in (None, 'x86_64', 'i686'):
            raise Unsupported(
                f'{request.get(PANIC)} needs an x86 guest, and this one is '
                f'{guest.arch}'
            )
        yield Element("devices/panic[@model='isa']")
        yield Consequence(
            'panic-device',
            'tenant',
            'the guest needs the pvpanic driver to make use of the device',
        )
