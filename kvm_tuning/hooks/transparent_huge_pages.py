"""Transparent huge pages for the guest's memory."""

from collections.abc import Iterable

from kvm_tuning.core.effects import (
    Consequence,
    Phase,
    Scope,
    Setting,
    SettingKind,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

MODE = 'kvm:transparent_huge_pages'

# QEMU madvises guest memory (MADV_HUGEPAGE), so a host on madvise gives a
# guest the same as a host on always.
_SATISFIES = {
    'always': ('always', 'madvise'),
    'madvise': ('madvise', 'always'),
    'never': ('never',),
}


class TransparentHugePages(Hook):
    """The mode is the host's, for all guests: this hook only checks it, and
    host-prep sets it. It applies to memory that is touched later, so a running
    guest has to be restarted.
    """

    name = 'transparent_huge_pages'
    knobs = (
        Knob(
            MODE,
            Choice(('always', 'madvise', 'never')),
            "The host's mode for the guest memory. A host on madvise also "
            'satisfies always, as QEMU requests huge pages itself.',
            # QEMU madvises the guest's memory: hosts with either mode do.
            traits={'always': '_THP_MADVISE', 'madvise': '_THP_MADVISE'},
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
        mode = site.capabilities.transparent_huge_pages
        good = _SATISFIES[str(asked.value)]
        if mode is None:
            yield Consequence(
                'unprobed',
                'operator',
                f'{asked}: the mode of this host is unknown',
            )
        elif mode not in good:
            yield unkept(
                asked,
                mode,
                f'transparent huge pages on this host are set to {mode}, not '
                f'{" or ".join(good)}: set them with host-prep',
            )
            return
        yield Setting(
            SettingKind.HOST_MODE,
            'transparent_hugepage/enabled',
            ' '.join(good),
            Scope.HOST,
            Phase.BEFORE_START,
        )
