"""Which of a host's pCPUs are free, given one ledger."""

from typing import NamedTuple

from kvm_tuning.core.demands import ThreadPolicy
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver.grid import Domain, Grid, Row


class Profile(NamedTuple):
    """What one L3 domain offers to dedicated vCPUs of one thread policy."""

    #: vCPUs that it can hold.
    slots: int
    #: Free pCPUs (``isolate``: free cores) of any kind: the emulator may use
    #: them, too.
    room: int
    #: Whether filling all slots takes the whole domain, with nobody else in
    #: it.
    whole: bool
    #: Usable cores by their number of usable threads (``isolate``: by the
    #: threads that one vCPU takes).
    counts: tuple[int, ...]
    #: All free pCPUs.
    free: int
    #: Whether it has a shared pCPU that nobody holds.
    shared: bool
    domain: Domain


class Stock:
    """The free threads of a grid. It must not be changed."""

    def __init__(
        self, grid: Grid, held: int, ledger: Ledger | None = None
    ) -> None:
        """Take the bits of what is held, and the ledger that says so."""
        self.grid = grid
        self._ledger = ledger
        #: Free threads as bits, as in :class:`Grid`.
        self.free = free = grid.all & ~held
        #: Free pCPUs by domain.
        self.domain_free = [
            (free & bits).bit_count() for bits in grid.domain_bits
        ]
        #: Free pCPUs by row.
        self.row_free = [(free & bits).bit_count() for bits in grid.row_bits]
        self._at_least: list[int] | None = None
        self._isolable: int | None = None
        self._slots: dict[tuple[ThreadPolicy, int], list[int]] = {}
        self._profiles: dict[
            tuple[ThreadPolicy, int], list[Profile | None]
        ] = {}

    @property
    def at_least(self) -> list[int]:
        """Return cores with at least that many free threads, as bits."""
        found = self._at_least
        if found is None:
            width, threads = self.grid.width, self.grid.threads
            every = (1 << width) - 1
            found = self._at_least = [every] + [0] * threads
            for thread in range(threads):
                plane = self.free >> thread * width & every
                for count in range(thread + 1, 0, -1):
                    found[count] |= found[count - 1] & plane
        return found

    @property
    def isolable(self) -> int:
        """Return cores that ``isolate`` may take: all threads may be dedicated
        and are free.
        """
        if self._isolable is None:
            grid = self.grid
            taken = grid.all & ~self.free
            every = (1 << grid.width) - 1
            busy = 0
            for thread in range(grid.threads):
                busy |= taken >> thread * grid.width & every
            self._isolable = grid.isolable & ~busy
        return self._isolable

    def room(self, row: Row, policy: ThreadPolicy) -> int:
        """Return the most vCPUs and emulators that a row can hold."""
        if policy is ThreadPolicy.ISOLATE:
            return (self.isolable & row.mask).bit_count()
        return self.row_free[row.index]

    def shares(self, shared: frozenset[int]) -> bool:
        """Return whether some of these shared pCPUs are not held by
        anybody.
        """
        if self._ledger is None or not shared:
            return bool(shared)
        return not shared <= self._ledger.pcpus

    def slots(self, policy: ThreadPolicy, kinds: int) -> list[int]:
        """Return how many vCPUs each domain can hold.

        :param kinds: the cores that may be used, as bits.
        """
        if policy is ThreadPolicy.PREFER and len(self.grid.kinds) == 1:
            return self.domain_free
        key = policy, kinds
        found = self._slots.get(key)
        if found is None:
            found = self._slots[key] = [
                self.profile(policy, kinds, domain).slots
                for domain in self.grid.domains
            ]
        return found

    def profile(
        self, policy: ThreadPolicy, kinds: int, domain: Domain
    ) -> Profile:
        """Return what a domain offers; see :meth:`slots`."""
        key = policy, kinds
        known = self._profiles.get(key)
        if known is None:
            known = self._profiles[key] = [None] * len(self.grid.domains)
        found = known[domain.index]
        if found is None:
            found = (
                self._isolated(domain, kinds)
                if policy is ThreadPolicy.ISOLATE
                else self._threaded(
                    domain, kinds, policy is ThreadPolicy.REQUIRE
                )
            )
            known[domain.index] = found
        return found

    def _threaded(self, domain: Domain, kinds: int, siblings: bool) -> Profile:
        """The profile for vCPUs that may share a core with another.

        :param siblings: only cores with two free threads or more will do.
        """
        mask = domain.mask & kinds
        free = self.domain_free[domain.index]
        at_least = self.at_least
        above = slots = 0
        counts = [0] * len(at_least)
        threads = len(at_least) - 1
        while threads > siblings:
            count = (at_least[threads] & mask).bit_count()
            counts[threads] = count - above
            slots += threads * (count - above)
            above = count
            threads -= 1
        whole = slots == free == domain.size
        return Profile(
            slots,
            free,
            whole,
            tuple(counts),
            free,
            self.shares(domain.shared),
            domain,
        )

    def _isolated(self, domain: Domain, kinds: int) -> Profile:
        """The profile for vCPUs that have a core each."""
        mine = self.isolable & domain.mask
        cores = mine & kinds
        slots = cores.bit_count()
        return Profile(
            slots,
            mine.bit_count(),
            slots == domain.cores,
            tuple([(cores & size).bit_count() for size in self.grid.sized]),
            self.domain_free[domain.index],
            self.shares(domain.shared),
            domain,
        )


def of(site: Site, grid: Grid) -> Stock:
    """Return what the site's ledger leaves free; it is computed once."""
    ledger = site.ledger
    return ledger.memo.once(
        grid, lambda: Stock(grid, grid.held_by(ledger.claims), ledger)
    )


def empty(grid: Grid) -> Stock:
    """Return the stock of the host with nobody on it; it is computed once."""
    return grid.memo.once('empty', lambda: Stock(grid, 0))
