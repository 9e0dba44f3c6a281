"""``[transparent_huge_pages]``: huge pages that nobody has to ask for."""

from oslo_config import cfg

GROUP = 'transparent_huge_pages'

OPTIONS = (
    cfg.StrOpt(
        'enabled',
        choices=('always', 'madvise', 'never'),
        help="""
Which memory gets transparent huge pages. QEMU asks for them for its guests'
memory, so ``madvise`` is enough for guests. It is in force for memory that is
touched later: restart guests to have them profit. Unset: not touched.
""",
    ),
    cfg.StrOpt(
        'defrag',
        choices=('always', 'defer', 'defer+madvise', 'madvise', 'never'),
        help="""
What a page fault does when no huge page is free: wait until memory has been
compacted (``always``, or ``madvise`` for those who asked), or take small
pages and leave it to the background (``defer``). Waiting makes guests start
slower and run faster. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'khugepaged_defrag',
        help="""
Whether khugepaged, which turns small pages into huge ones later, may compact
memory for it. Unset: not touched.
""",
    ),
)
