"""Whether the guest's kernel is told that its vCPUs are never preempted."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

HINT = 'kvm:cpu_hint'

_ELEMENT = 'features/kvm/hint-dedicated'
_X86 = frozenset({None, 'x86_64', 'i686'})


class CpuHint(Hook):
    """KVM's ``hint-dedicated`` (the kernel's
    Documentation/virt/kvm/x86/cpuid.rst, ``KVM_HINTS_REALTIME``): a Linux
    guest then spins with plain locks, and its idle loop polls, instead of
    guarding against vCPUs that the host has taken off their pCPUs. libvirt
    takes it with CPU mode host-passthrough only.
    """

    name = 'cpu_hint'
    knobs = (
        Knob(
            HINT,
            Choice(('dedicated', 'none')),
            'dedicated: the guest is told that each vCPU has a pCPU of its '
            'own, so that it takes locks without the detour that guards '
            'against preemption, and polls when it is idle. Needs dedicated '
            'vCPUs and CPU mode host-passthrough; none: it is not told.',
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError]:
        asked = request.get(HINT)
        if asked is None or asked.value == 'none' or not asked.promise:
            return
        if not _all_dedicated(request):
            yield ConflictingKnobs(
                f'{asked} is true of dedicated vCPUs only: set '
                f'hw:cpu_policy=dedicated'
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        asked = request.get(HINT)
        if asked is None:
            return
        if asked.value == 'none':
            yield Absent(_ELEMENT)
            return
        why = _why_not(request, guest)
        if why is not None:
            yield unkept(asked, 'not set', why)
            return
        yield Element(_ELEMENT, {'state': 'on'})


def _all_dedicated(request: Request) -> bool:
    cells = () if request.topology is None else request.topology.cells
    return bool(cells) and not any(cell.shared for cell in cells)


def _why_not(request: Request, guest: Guest) -> str | None:
    """Return why a guest cannot be told; None where it can."""
    if not _all_dedicated(request):
        return 'the guest has shared vCPUs, which are preempted'
    if guest.type != 'kvm':
        return f'it is a hint of KVM, and the domain has type {guest.type}'
    if guest.arch not in _X86:
        return f'KVM gives it to x86 guests only, not to {guest.arch}'
    if guest.cpu_mode != 'host-passthrough':
        return (
            'libvirt takes it with CPU mode host-passthrough only, and the '
            f'domain has {guest.cpu_mode or "none"}'
        )
    return None
