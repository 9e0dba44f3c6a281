"""How two placements of one guest are compared: by a tuple, lower is better.

The entries are compared in this order. All but :data:`AWAY` and
:data:`PACKAGES` are sums over the guest's cells. *Its* cores and L3 domains
are those of a guest cell's dedicated vCPUs; an L3 domain is the part of it in
one host cell, and a cell without L3 information is one. Free means: of the
pCPUs that may be dedicated, those that nobody held before the guest.
"""

from collections.abc import Iterable

#: 1 for a guest cell out of reach of a helper pool that was promised: none of
#: its L3 domains has a shared pCPU that nobody holds (an ``l3`` pool), or,
#: where only a ``numa`` pool was promised, its host cell has none.
PROMISES = 0
#: L3 domains over the fewest, where L3 locality is asked for. The fewest are
#: those whose allocatable pCPUs can hold the guest cell in any host cell.
LOCALITY = 1
#: PCI functions away: 1 in an unknown cell, or in a cell of the same package
#: (affinity ``socket``), 2 elsewhere.
AWAY = 2
#: Kinds of core (capacities) beyond one.
KINDS = 3
#: Packages beyond one.
PACKAGES = 4
#: L3 domains over the fewest. On a *narrow* host that packs its cells it is
#: weighed against the crowding of cells: half of the pCPUs of its largest L3
#: domain for each, plus the free pCPUs of the host cell. Narrow is a host
#: whose cells have up to four L3 domains (:data:`grid.NARROW`): guests that
#: take whole cells are ordinary there, and a placement that opens an empty
#: cell to spare an L3 domain refuses one of them later. Not so where L3
#: locality is asked for: it goes before, and with the fullest domain before
#: the fullest cell as many guests fit, and more of them in one domain.
DOMAINS = 5
#: Kinds of core that it uses: the fastest counts 1, the next 2, then 4.
SLOW = 6
#: Page sizes that the demand ranks higher than the one taken.
PAGES = 7
#: 1: the emulator's pCPU is outside the first guest cell's L3 domains.
EMULATOR = 8
#: As PROMISES, for pools that are only preferred.
WISHES = 9
#: L3 domains that it does not take whole: somebody else is there, or some of
#: their pCPUs stay free.
PARTIAL = 10
#: Cores that it uses.
CORES = 11
#: vCPUs per thousand shared pCPUs, where its shared vCPUs float.
LOAD = 12
#: When host cells are filled evenly: how many more pCPUs are allocatable in
#: the largest host cell than free in its own.
SPREAD = 13
#: Threads of its cores that it does not run on.
STRANDED = 14
#: Free pCPUs of its L3 domains.
FREE = 15
#: When host cells are packed: free pCPUs of its host cell.
PACK = 16

#: The entries in words, for the reasons of a placement.
WORDS = (
    'promised helper pools without a shared pCPU in reach',
    'L3 domains over the fewest',
    'devices away',
    'kinds of core beyond one',
    'packages beyond one',
    'for L3 domains over the fewest and the crowding of host cells',
    'for slow kinds of core',
    'better page sizes',
    'emulators outside of the L3 domains',
    'wished helper pools without a shared pCPU in reach',
    'L3 domains taken in part',
    'cores used',
    'shared vCPUs per thousand shared pCPUs',
    'for spreading over host cells',
    'threads stranded',
    'free pCPUs in its L3 domains',
    'free pCPUs of its host cell',
)

#: Bits for one entry when several are added as one number.
ENTRY_BITS = 40


def number(entries: Iterable[int]) -> int:
    """Return a number that adds and compares as the entries do."""
    found = 0
    for entry in entries:
        found = found << ENTRY_BITS | entry
    return found
