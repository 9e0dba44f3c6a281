"""Pack the dedicated vCPUs of one guest cell onto L3 domains of one host cell.

A packing spans the fewest domains that can hold the vCPUs as the host cell is
now. Among those it is the cheapest by :data:`Cost`.
"""

from collections.abc import Callable, Iterator, Sequence
import enum
from typing import NamedTuple

from kvm_tuning.core.demands import ThreadPolicy
from kvm_tuning.core.solver import choices, cores
from kvm_tuning.core.solver.grid import Domain, Row
from kvm_tuning.core.solver.stock import Profile, Stock

Fill = Callable[[Sequence[int], int], tuple[int, int]]


class Even(enum.Enum):
    """Whether each L3 domain has to have equally many of the vCPUs."""

    NO = 'no'
    #: If that takes no domain more.
    WISHED = 'wished'
    PROMISED = 'promised'


class Ask(NamedTuple):
    """What a packing must hold."""

    vcpus: int
    policy: ThreadPolicy
    #: One more pCPU for the emulator, in the same domains if possible.
    emulator: bool = False
    #: Whether a domain with shared pCPUs is promised, or preferred.
    promised: bool = False
    wished: bool = False
    even: Even = Even.NO


#: What compares the packings of one guest cell on one host cell, in the order
#: of :mod:`~kvm_tuning.core.solver.costs`: PROMISES, EMULATOR, WISHES,
#: PARTIAL, CORES, STRANDED, FREE; each is 0 or 1 up to PARTIAL.
Cost = tuple[int, int, int, int, int, int, int]


class Packing(NamedTuple):
    """Which domains: all of ``full``, and ``rest`` vCPUs in ``part``.

    ``share``: vCPUs in each domain of ``part``; 0: as it comes.
    """

    #: Of the dedicated vCPUs alone.
    cost: Cost
    full: tuple[Profile, ...]
    part: tuple[Profile, ...]
    rest: int
    share: int = 0

    @property
    def domains(self) -> tuple[Profile, ...]:
        return self.full + self.part

    @property
    def spans(self) -> int:
        return len(self.full) + len(self.part)


NOTHING = Packing((0, 0, 0, 0, 0, 0, 0), (), (), 0)


def fewest(slots: Sequence[int], vcpus: int) -> int | None:
    """Return the fewest domains that hold the vCPUs; None: all together do
    not.

    :param slots: the vCPUs that each domain can hold.
    """
    if not vcpus:
        return 0
    if slots and max(slots) >= vcpus:
        return 1
    room = 0
    for count, number in enumerate(sorted(slots, reverse=True), 1):
        room += number
        if room >= vcpus:
            return count
    return None


def fewest_empty(stock: Stock, row: Row, ask: Ask, kinds: int) -> int | None:
    """As :func:`fewest`, on a row.

    The dedicated vCPUs count alone: the emulator's pCPU may be outside of
    their domains, and never spreads them over one more.
    """
    slots = [
        stock.profile(ask.policy, kinds, domain).slots
        for domain in row.domains
    ]
    if ask.even is Even.PROMISED and ask.vcpus:
        return fewest_even(slots, ask.vcpus)
    return fewest(slots, ask.vcpus)


def fewest_even(slots: Sequence[int], vcpus: int) -> int | None:
    """As :func:`fewest`, with equally many vCPUs in each domain."""
    for count in range(1, len(slots) + 1):
        share, rest = divmod(vcpus, count)
        if not rest and sum(room >= share for room in slots) >= count:
            return count
    return None


def pack(
    stock: Stock, row: Row, ask: Ask, kinds: int, most: int | None = None
) -> Packing | None:
    """Return the cheapest packing on the fewest domains of a row.

    Whether the emulator finds room elsewhere in the row is not checked here.

    :param kinds: the cores that may be used, as bits.
    :param most: how many domains are allowed; None: any number.
    :returns: None when nothing fits.
    """
    vcpus = ask.vcpus
    if not vcpus:
        return NOTHING
    slots = stock.slots(ask.policy, kinds)
    domains = [d for d in row.domains if slots[d.index] >= vcpus]
    if domains:
        return on_one(stock, domains, ask, kinds)
    rooms = [slots[domain.index] for domain in row.domains]
    count = fewest(rooms, vcpus)
    if count is None or (most is not None and count > most):
        return None
    if ask.even is not Even.NO:
        even = fewest_even(rooms, vcpus)
        if even is not None and (
            even == count
            or (ask.even is Even.PROMISED and (most is None or even <= most))
        ):
            return _evenly(stock, row, ask, kinds, even)
        if ask.even is Even.PROMISED:
            return None
    profiles = [
        stock.profile(ask.policy, kinds, domain)
        for domain in row.domains
        if slots[domain.index]
    ]
    fill = _fill(ask)
    return min(_several(profiles, ask, fill, count), key=_cost)


def _cost(packing: Packing) -> Cost:
    return packing.cost


def _fill(ask: Ask) -> Fill:
    if ask.policy is ThreadPolicy.ISOLATE:
        return cores.fill_isolated
    return cores.fill


def on_one(
    stock: Stock, domains: list[Domain], ask: Ask, kinds: int
) -> Packing:
    """Return the cheapest packing on one domain, among domains that each can
    hold the vCPUs.

    With nothing but the vCPUs to place, the fullest domain is the cheapest
    unless it strands threads or takes more cores than necessary: then another
    one may be cheaper.
    """
    vcpus = ask.vcpus
    fill = _fill(ask)
    if len(domains) > 1:
        free = stock.domain_free
        domains.sort(key=lambda domain: free[domain.index])
    _, _, emulator, promised, wished, _ = ask
    plain = not (emulator or promised or wished)
    ideal = -(-vcpus // stock.grid.threads)
    best = None
    for domain in domains:
        profile = stock.profile(ask.policy, kinds, domain)
        used, stranded = fill(profile.counts, vcpus)
        part = not profile.whole or profile.slots > vcpus
        outside = apart = False
        if not plain:
            outside = emulator and profile.room <= vcpus
            apart = not profile.shared
        cost = (
            +(promised and apart),
            +outside,
            +(wished and apart),
            +part,
            used,
            stranded,
            profile.free,
        )
        if best is None or cost < best.cost:
            best = (
                Packing(cost, (), (profile,), vcpus)
                if part
                else Packing(cost, (profile,), (), 0)
            )
        if (
            plain
            and not stranded
            and used == ideal
            and (not part or profile.free > vcpus)
        ):
            break
    assert best is not None
    return best


def _several(
    profiles: Sequence[Profile], ask: Ask, fill: Fill, count: int
) -> Iterator[Packing]:
    """Yield the packings on ``count`` domains, the fewest possible.

    None of them is dispensable, so the whole ones among them can all be
    filled; the fewer are left in part, the better, unless an entry that ranks
    higher requires others.
    """
    whole = [profile for profile in profiles if profile.whole]
    plain = not (ask.emulator or ask.promised or ask.wished)
    for parts in range(max(0, count - len(whole)), count + 1):
        found = False
        for full in choices.alike_once(whole, count - parts):
            rest = ask.vcpus - sum([profile.slots for profile in full])
            if parts == 0:
                if rest == 0:
                    found = True
                    yield _rated(full, (), 0, ask, fill)
                continue
            if rest <= 0:
                continue
            used = {profile.domain.index for profile in full}
            others = [p for p in profiles if p.domain.index not in used]
            for part in choices.partly(others, parts, rest):
                found = True
                yield _rated(full, part, rest, ask, fill)
        if found and plain:
            return


def _evenly(
    stock: Stock, row: Row, ask: Ask, kinds: int, count: int
) -> Packing:
    """Return the packing with equal shares: on the fullest domains that do."""
    share = ask.vcpus // count
    fill = _fill(ask)
    profiles = [
        profile
        for domain in row.domains
        if (profile := stock.profile(ask.policy, kinds, domain)).slots >= share
    ]
    rated = sorted(
        (*fill(profile.counts, share), profile.free, profile.domain.index)
        for profile in profiles
    )[:count]
    chosen = {index for *_cost, index in rated}
    part = tuple(p for p in profiles if p.domain.index in chosen)
    reached = any(profile.shared for profile in part)
    room = sum(profile.room for profile in part)
    cost = (
        int(ask.promised and not reached),
        int(ask.emulator and room <= ask.vcpus),
        int(ask.wished and not reached),
        sum(not (p.whole and p.slots == share) for p in part),
        sum(used for used, *_rest in rated),
        sum(stranded for _used, stranded, *_rest in rated),
        sum(profile.free for profile in part),
    )
    return Packing(cost, (), part, ask.vcpus, share)


def _rated(
    full: tuple[Profile, ...],
    part: tuple[Profile, ...],
    rest: int,
    ask: Ask,
    fill: Fill,
) -> Packing:
    used = stranded = free = room = 0
    reached = False
    for profile in full:
        number, left = fill(profile.counts, profile.slots)
        used += number
        stranded += left
        free += profile.free
        room += profile.room
        reached |= profile.shared
    if part:
        number, left = fill(pool(part), rest)
        used += number
        stranded += left
        for profile in part:
            free += profile.free
            room += profile.room
            reached |= profile.shared
    return Packing(
        (
            int(ask.promised and not reached),
            int(ask.emulator and room <= ask.vcpus),
            int(ask.wished and not reached),
            len(part),
            used,
            stranded,
            free,
        ),
        full,
        part,
        rest,
    )


def pool(part: tuple[Profile, ...]) -> tuple[int, ...]:
    """Return the counts of all cores of some domains together."""
    if len(part) == 1:
        return part[0].counts
    return tuple(map(sum, zip(*(p.counts for p in part), strict=True)))
