"""``[compaction]``: how memory is brought into one piece."""

from oslo_config import cfg

GROUP = 'compaction'

OPTIONS = (
    cfg.IntOpt(
        'proactiveness',
        min=0,
        max=100,
        help="""
How much the kernel compacts free memory in the background, ahead of need. 0
turns it off, which spares latency-critical guests its interruptions; the
kernel's own default is 20. Kernels before 5.9 have no such setting. Unset:
not touched.
""",
    ),
)
