"""``[iommu]``: what giving devices to guests takes."""

from oslo_config import cfg

GROUP = 'iommu'

OPTIONS = (
    cfg.BoolOpt(
        'required',
        default=False,
        help="""
Whether a host without IOMMU groups is refused.
""",
    ),
    cfg.BoolOpt(
        'kernel_arguments',
        default=False,
        help="""
Whether the kernel is started with ``iommu=pt``, and on Intel with
``intel_iommu=on``. In force after a reboot.
""",
    ),
)
