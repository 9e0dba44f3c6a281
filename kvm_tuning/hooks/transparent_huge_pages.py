"""Transparent huge pages below the guest's memory."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence, Phase, Scope, Setting
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

MODE = 'kvm:transparent_huge_pages'

# QEMU madvises guest memory (MADV_HUGEPAGE), so that a host on madvise gives
# a guest what a host on always would.
_SATISFIES = {
    'always': ('always', 'madvise'),
    'madvise': ('madvise', 'always'),
    'never': ('never',),
}


class TransparentHugePages(Hook):
    """The mode is the host's, for all guests: this hook only checks it, and
    host-prep sets it. It holds for memory that is touched later, so that a
    running guest must start anew.
    """

    name = 'transparent_huge_pages'
    knobs = (
        Knob(
            MODE,
            Choice(('always', 'madvise', 'never')),
            'What the host must do for the guest memory. A host on madvise '
            'satisfies always, as QEMU asks for huge pages itself.',
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
                f'{asked}: the mode of this host is not known',
            )
        elif mode not in good:
            yield unkept(
                asked,
                mode,
                f'transparent huge pages of this host are on {mode}, and '
                f'{" or ".join(good)} would do: set it with host-prep',
            )
            return
        yield Setting(
            'host-mode',
            'transparent_hugepage/enabled',
            ' '.join(good),
            Scope.HOST,
            Phase.BEFORE_START,
        )
