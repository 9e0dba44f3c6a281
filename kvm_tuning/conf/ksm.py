"""``[ksm]``: kernel same-page merging on this host."""

from oslo_config import cfg

GROUP = 'ksm'

OPTIONS = (
    cfg.StrOpt(
        'run',
        choices=('off', 'on'),
        help="""
Whether the kernel merges equal pages of guests. ``off`` parts the pages that
are merged already, which needs memory for all of them: it is refused when
there is not enough. Merging trades CPU time, and a possible side channel
between guests, for memory. Huge pages of hugetlbfs are never merged. A guest
can be kept out with ``kvm:page_sharing=false``. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'merge_across_nodes',
        help="""
Whether pages of different NUMA cells may be merged. With ``false`` memory of
a guest stays in its cell. It can only be changed while nothing is merged, so
all pages are parted first. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'stop_ksmtuned',
        default=False,
        help="""
Whether ksmtuned and its unit ksm.service are stopped and disabled. They turn
merging on and off by themselves, whatever ``run`` says.
""",
    ),
)
