"""``[kvm_tuning]`` of ``nova.conf``: nova-compute rebalances its host.

It is in Nova's configuration, as nova-compute reads that again on SIGHUP.
"""

from oslo_config import cfg

from kvm_tuning.core.exceptions import ConfigInvalid

GROUP = 'kvm_tuning'

OPTIONS = (
    cfg.StrOpt(
        'rebalance',
        default='never',
        mutable=True,
        choices=[
            ('never', 'Nothing is read, and nothing is planned.'),
            (
                'plan',
                'What could be exchanged is logged, and written to '
                '``kvm-tuning/rebalance-plan.json`` below ``state_path``; '
                'nothing moves.',
            ),
        ],
        help="""
Whether nova-compute looks, now and then, for an exchange of dedicated pCPUs
between the servers of its host that brings them into fewer L3 domains.
""",
    ),
    cfg.IntOpt(
        'rebalance_interval',
        default=3600,
        min=60,
        mutable=True,
        help="""
Seconds between two plans. One is made in a periodic run of Nova's resource
tracker (``[DEFAULT] update_resources_interval``), so it may come that much
later.
""",
    ),
    cfg.IntOpt(
        'rebalance_budget',
        default=25,
        min=1,
        max=100,
        mutable=True,
        help="""
How many of the host's dedicated vCPUs one exchange may move, in percent.
""",
    ),
    cfg.FloatOpt(
        'rebalance_least_gain',
        default=0.0,
        min=0.0,
        mutable=True,
        help="""
Leave alone what would win fewer L3 domains than this for each vCPU that moves.
""",
    ),
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by group (entry point ``oslo.config.opts``)."""
    return [(GROUP, list(OPTIONS))]


def register(conf: cfg.ConfigOpts) -> None:
    """Add the options to Nova's, and read each once.

    :raises ConfigInvalid: one has a value that its type does not take.
    """
    conf.register_opts(OPTIONS, group=GROUP)
    for option in OPTIONS:
        try:
            conf[GROUP][option.dest]
        except ValueError as error:
            raise ConfigInvalid(f'nova.conf: {error}') from error
