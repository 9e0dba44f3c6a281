"""``[host_prep]``: options for making and judging host settings."""

from oslo_config import cfg, types

from kvm_tuning.host.prep import status
from kvm_tuning.host.prep.groups.table import GROUPS
from kvm_tuning.host.prep.kinds import kernel_arguments

GROUP = 'host_prep'

#: Words for ``ready_ignores``: groups, and what belongs to all of them.
CONCERNS = (
    *(group.name for group in GROUPS),
    kernel_arguments.CONCERN,
    status.UNSEEN,
)

OPTIONS = (
    cfg.FloatOpt(
        'write_timeout',
        default=120.0,
        min=0.1,
        max=3600.0,
        help="""
Seconds until a write to the kernel that does not return counts as failed.
Some drivers take long to make many VFs, and some never return.
""",
    ),
    cfg.ListOpt(
        'ready_ignores',
        default=[],
        item_type=types.String(choices=CONCERNS),
        help="""
Groups of settings that do not keep this host from being ready
(``kvm-tuning host ready``); ``kernel_arguments`` for those of all groups, and
``unseen`` for whatever cannot be seen from here, such as /boot in a
container. ``kvm-tuning host status`` shows what is ignored.
""",
    ),
    cfg.ListOpt(
        'ready_needs',
        default=[],
        item_type=types.String(choices=[group.name for group in GROUPS]),
        help="""
Groups of settings that must be configured for this host to be ready. Without
it a host that nothing is configured for is ready.
""",
    ),
)
