"""``[block_scheduler]``: I/O schedulers of disks."""

from oslo_config import cfg, types

GROUP = 'block_scheduler'

_NAMES = 'none, mq-deadline, bfq or kyber'

OPTIONS = (
    cfg.StrOpt(
        'rotational',
        help=f"""
Scheduler of disks that turn: {_NAMES}. mq-deadline gives guests most
throughput, bfq shares a disk fairly. The old names cfq, deadline and noop are
taken for bfq, mq-deadline and none. A udev rule keeps it for disks that come
later. Unset: not touched.
""",
    ),
    cfg.StrOpt(
        'ssd',
        help=f"""
Scheduler of disks that do not turn, other than NVMe: {_NAMES}. mq-deadline
is the usual choice, none behind a RAID controller that sorts by itself.
Unset: not touched.
""",
    ),
    cfg.StrOpt(
        'nvme',
        help=f"""
Scheduler of NVMe disks: {_NAMES}. Leave it at none unless you have measured
that another one is better. Unset: not touched.
""",
    ),
    cfg.MultiOpt(
        'disk',
        item_type=types.String(max_length=128),
        help="""
Scheduler of one disk, such as ``sda=bfq``; it goes before its class. Give it
several times for several disks. Names of disks can change at a reboot: prefer
the classes.
""",
    ),
)
