"""What of a host is free: threads, pages and memory, in one ledger's light."""

from typing import NamedTuple

from kvm_tuning.core.demands import ThreadPolicy
from kvm_tuning.core.grid import Domain, Grid
from kvm_tuning.core.site import Site


class Profile(NamedTuple):
    """What one L3 domain offers to dedicated vCPUs of one thread policy."""

    #: vCPUs that it can hold.
    slots: int
    #: Free pCPUs (``isolate``: free cores), of any kind: what the emulator
    #: may use, too.
    room: int
    #: Whether filling all slots takes the whole domain, nobody else in it.
    whole: bool
    #: Usable cores.
    cores: int
    #: Usable cores by their number of usable threads (``isolate``: by the
    #: threads that one vCPU takes).
    counts: tuple[int, ...]
    #: All free pCPUs.
    free: int
    domain: Domain


class Stock:
    """The free threads of a grid. Not to be changed."""

    def __init__(self, grid: Grid, held: int) -> None:
        self.grid = grid
        width, threads = grid.width, grid.threads
        #: Free threads as bits, as in :class:`Grid`.
        self.free = free = grid.all & ~held
        every = (1 << width) - 1
        busy = 0
        #: Cores with at least so many free threads, as bits.
        at_least = [every] + [0] * threads
        taken = grid.all & held
        for thread in range(threads):
            plane = free >> thread * width & every
            busy |= taken >> thread * width & every
            for count in range(thread + 1, 0, -1):
                at_least[count] |= at_least[count - 1] & plane
        self.at_least = at_least
        #: Cores that ``isolate`` may take: all threads dedicable and free.
        self.isolable = grid.isolable & ~busy
        self._profiles: dict[
            tuple[ThreadPolicy, int], list[list[Profile]]
        ] = {}
        #: Free pCPUs by row.
        self.row_free = [(free & row.bits).bit_count() for row in grid.rows]

    def room(self, row: int, policy: ThreadPolicy) -> int:
        """Return how many vCPUs and emulators a row may hold at most."""
        if policy is ThreadPolicy.ISOLATE:
            return (self.isolable & self.grid.rows[row].mask).bit_count()
        return self.row_free[row]

    def profiles(
        self, policy: ThreadPolicy, kinds: int
    ) -> list[list[Profile]]:
        """Return the profiles of the domains with any slot, by row.

        :param kinds: the cores that may be used, as bits.
        """
        key = policy, kinds
        found = self._profiles.get(key)
        if found is None:
            profile = (
                self._isolated
                if policy is ThreadPolicy.ISOLATE
                else self._threaded
            )
            least = 2 if policy is ThreadPolicy.REQUIRE else 1
            found = self._profiles[key] = [
                [
                    made
                    for domain in row.domains
                    if domain.size and (made := profile(domain, kinds, least))
                ]
                for row in self.grid.rows
            ]
        return found

    def _threaded(
        self, domain: Domain, kinds: int, least: int
    ) -> Profile | None:
        """The profile for vCPUs that may share a core with another."""
        mask = domain.mask & kinds
        at_least = self.at_least
        above = slots = cores = 0
        counts = [0] * len(at_least)
        for threads in range(len(at_least) - 1, 0, -1):
            count = (at_least[threads] & mask).bit_count()
            if count and threads >= least:
                counts[threads] = count - above
                slots += threads * (count - above)
                cores = count
            above = count
        if not slots:
            return None
        free = self._free(domain)
        whole = free == domain.size == slots
        return Profile(slots, free, whole, cores, tuple(counts), free, domain)

    def _isolated(
        self, domain: Domain, kinds: int, least: int
    ) -> Profile | None:
        """The profile for vCPUs that have a core each."""
        mine = self.isolable & domain.mask
        cores = mine & kinds
        slots = cores.bit_count()
        if not slots:
            return None
        counts = tuple((cores & size).bit_count() for size in self.grid.sized)
        return Profile(
            slots,
            mine.bit_count(),
            slots == domain.cores,
            slots,
            counts,
            self._free(domain),
            domain,
        )

    def _free(self, domain: Domain) -> int:
        return sum((ge & domain.mask).bit_count() for ge in self.at_least[1:])


def of(site: Site, grid: Grid) -> Stock:
    """Return what the site's ledger leaves free, made once."""
    derived = site.ledger.derived
    found = derived.get(grid)
    if found is None:
        found = derived[grid] = Stock(grid, grid.held(site.ledger.pcpus))
    return found  # type: ignore[return-value]


def empty(grid: Grid) -> Stock:
    """Return the stock of the host with nobody on it, made once."""
    found = grid.derived.get('empty')
    if found is None:
        found = grid.derived['empty'] = Stock(grid, 0)
    return found  # type: ignore[return-value]
