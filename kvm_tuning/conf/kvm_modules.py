"""``[kvm_modules]``: KVM's and vhost's kernel modules."""

from oslo_config import cfg

GROUP = 'kvm_modules'

OPTIONS = (
    cfg.BoolOpt(
        'vhost_net',
        default=False,
        help="""
Whether vhost_net is loaded, now and at boot, so that the kernel serves virtio
NICs instead of QEMU.
""",
    ),
    cfg.IntOpt(
        'halt_poll_ns',
        min=0,
        max=10_000_000,
        help="""
Nanoseconds for which KVM waits for a vCPU that has nothing to do before it
lets go of the pCPU (the kernel's own default is 200000 on x86). 0 saves CPU
time on dense hosts, more lowers wake-up latency. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'vhost_zero_copy',
        help="""
Whether vhost_net sends guests' packets without copying them
(experimental_zcopytx). It saves CPU time for large packets; one guest that
receives slowly can hold up others. In force when vhost_net is loaded again.
Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'nested_paging',
        default=False,
        help="""
Whether the CPU's nested paging (EPT, NPT) is required. Where it is switched
off by a module option, it is switched on, and the module is loaded anew when
no guest runs.
""",
    ),
)
