"""``[huge_pages]``: huge pages by NUMA cell and size."""

from oslo_config import cfg, types

GROUP = 'huge_pages'

OPTIONS = (
    cfg.MultiOpt(
        'pages',
        item_type=types.Dict(),
        help="""
How many huge pages a NUMA cell is to have, such as
``node:0,size:2048,count:512`` (sizes in KiB, or with a unit: ``1GB``). Give
it several times for several cells or sizes. What the kernel could not make
is told, with the cell. Pages in use are never taken away. What is not named
is not touched.
""",
    ),
    cfg.BoolOpt(
        'kernel_arguments',
        default=False,
        help="""
Whether pages of 1 GiB and more are asked for on the kernel's command line,
too: at boot memory is still in one piece. Kernels from 5.16 on are told how
many in each cell, older ones spread the number as they like; host-prep puts
that right afterwards as far as memory allows.
""",
    ),
)
