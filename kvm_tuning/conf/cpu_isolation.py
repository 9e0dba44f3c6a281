"""``[cpu_isolation]``: the host's own work apart from guests."""

from oslo_config import cfg, types

GROUP = 'cpu_isolation'

OPTIONS = (
    cfg.StrOpt(
        'housekeeping_cpus',
        help="""
The CPUs for the host's own work, as a list such as ``0-3,32-35``; all others
are isolated. Take whole cores, and some of each NUMA cell. Unset: nothing is
isolated.
""",
    ),
    cfg.ListOpt(
        'isolate_by',
        default=['nohz_full', 'rcu_nocbs', 'irqaffinity'],
        item_type=types.String(
            choices=('isolcpus', 'nohz_full', 'rcu_nocbs', 'irqaffinity')
        ),
        help="""
Kernel arguments to isolate by; empty for none. They are in force after a
reboot. ``isolcpus`` also takes the CPUs out of the scheduler's balancing:
only for guests whose every thread there is pinned one to one.
""",
    ),
    cfg.BoolOpt(
        'systemd_affinity',
        default=True,
        help="""
Whether systemd's CPUAffinity= is set, so that services start on the
housekeeping CPUs.
""",
    ),
    cfg.BoolOpt(
        'irq_affinity',
        default=True,
        help="""
Whether interrupts are moved to the housekeeping CPUs. Those that the kernel
manages itself (of NVMe, for example) stay where they are, and that is told.
""",
    ),
)
