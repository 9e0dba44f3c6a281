"""Run the rules over the guests of a host, and rank what they find."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kvm_tuning.core.assess.case import Case, Host, Unseen
from kvm_tuning.core.assess.codes import RANK
from kvm_tuning.core.assess.finding import Finding, Severity, unknown
from kvm_tuning.core.assess.guest import Foreign, Guest
from kvm_tuning.core.assess.rules import (
    devices,
    host,
    memory,
    sharing,
    span,
    threads,
    visible,
)
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Unknown

_SEVERITIES = (
    Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.UNKNOWN,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A function that yields findings, and the codes it can yield."""

    codes: tuple[str, ...]
    check: Callable[[Case], Iterator[Finding]]


#: Every rule of a guest.
RULES = (
    Rule(('cell-span',), span.cells),
    Rule(('l3-span',), span.l3_domains),
    Rule(('guest-cells-missing',), span.guest_cells),
    Rule(('pcpu-shared', 'floats-over-pinned'), sharing.pcpus),
    Rule(('vcpus-on-one-pcpu',), sharing.own),
    Rule(('core-shared',), sharing.cores),
    Rule(('foreign-threads',), sharing.foreign),
    Rule(('vcpus-migrate',), threads.moves),
    Rule(('vcpus-wait',), threads.waits),
    Rule(('emulator-on-vcpus', 'emulator-remote'), threads.emulator),
    Rule(('iothread-on-vcpus', 'iothread-remote'), threads.iothreads),
    Rule(('vhost-on-vcpus', 'vhost-remote'), threads.vhost),
    Rule(('memory-remote',), memory.remote),
    Rule(('memory-small-pages',), memory.small_pages),
    Rule(('memory-merged',), memory.merged),
    Rule(('memory-swapped',), memory.swapped),
    Rule(('memory-locked',), memory.locked),
    Rule(('siblings-hidden', 'siblings-invented'), visible.siblings),
    Rule(('hint-dedicated-missing', 'hint-dedicated-wrong'), visible.hint),
    Rule(('iothread-idle',), devices.idle_iothreads),
    Rule(('disk-no-iothread',), devices.main_loop),
    Rule(('disk-model',), devices.disk_models),
    Rule(('disk-unsafe', 'disk-cache'), devices.cache),
    Rule(('disk-engine',), devices.engine),
    Rule(('disk-queues',), devices.disk_queues),
    Rule(('nic-model',), devices.nic_models),
    Rule(('nic-no-vhost',), devices.vhost),
    Rule(('nic-queues', 'nic-queues-unused'), devices.nic_queues),
    Rule(('device-remote',), devices.cells),
)


#: The codes of each rule of a host.
HOST_RULES = (
    (('host-not-ready',), host.gate),
    (('host-merges-across-cells',), host.merging),
    (('host-no-huge-pages',), host.huge_pages),
)


@dataclass(frozen=True, slots=True)
class Assessed:
    """A guest and what was found, the worst first."""

    guest: Guest
    findings: tuple[Finding, ...]
    #: L3 domains of its vCPUs beyond the fewest that would do; None: unknown.
    excess_l3_domains: int | None = None
    #: Share of its memory on cells where no vCPU may run, from 0 to 1; None:
    #: unknown.
    remote_memory: float | None = None


def assess(
    inventory: Inventory,
    guests: Sequence[Guest],
    foreign: tuple[Foreign, ...] | Unknown,
    of: Iterable[str] | None = None,
) -> tuple[Assessed, ...]:
    """Return the findings of guests, in their order.

    :param guests: all guests of the host: each is a neighbour of the others.
    :param foreign: processes of others that used CPU time.
    :param of: keys of those whose findings are wanted; None: all of them.
    """
    whole = Host(inventory, guests, foreign)
    wanted = None if of is None else frozenset(of)
    return tuple(
        _assessed(Case(guest, whole))
        for guest in guests
        if wanted is None or guest.key in wanted
    )


def assess_host(
    inventory: Inventory, state: host.State
) -> tuple[Finding, ...]:
    """Return the findings about a host itself."""
    return _ranked(
        finding
        for _codes, check in HOST_RULES
        for finding in check(state, inventory)
    )


def _assessed(case: Case) -> Assessed:
    return Assessed(
        case.guest,
        _ranked(_findings(case)),
        _excess_l3_domains(case),
        _remote_memory(case),
    )


def _excess_l3_domains(case: Case) -> int | None:
    try:
        on, few = span.l3_count(case)
    except Unseen:
        return None
    return max(0, on - few)


def _remote_memory(case: Case) -> float | None:
    try:
        away, total_kib = memory.away_kib(case)
    except Unseen:
        return None
    return sum(away.values()) / total_kib if total_kib else 0.0


def _findings(case: Case) -> Iterator[Finding]:
    unseen = case.guest.unseen
    for rule in RULES:
        try:
            if unseen is not None:
                raise Unseen(unseen)
            yield from rule.check(case)
        except Unseen as error:
            for code in rule.codes:
                yield unknown(code, error.unknown)


def _ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(
            findings,
            key=lambda each: (
                _SEVERITIES.index(each.severity), RANK[each.code],
            ),
        )
    )  # fmt: skip
