"""``[libvirt]``: how the standalone adapter reaches libvirt."""

from oslo_config import cfg

GROUP = 'libvirt'

OPTIONS = (
    cfg.StrOpt(
        'uri',
        default='qemu:///system',
        help="""
The libvirt to tune guests of. Who holds which pCPU is read from the domains
that this libvirt knows; guests of another libvirt on the same host (a
session's, a second daemon's) are not seen, so give the dedicated pCPUs to
one of them only.
""",
    ),
    cfg.StrOpt(
        'lock_path',
        default='/run/lock/kvm-tuning',
        help="""
Directory of the lock under which a guest is planned and defined. All
processes that tune guests on this host have to use the same one: it keeps
two of them from giving one pCPU to two guests. It is made when it is missing
and has to be writable by whoever runs ``guest tune``.
""",
    ),
    cfg.IntOpt(
        'lock_timeout',
        default=60,
        min=0,
        help="""
Seconds to wait for the lock before giving up. Whoever holds it plans and
defines one guest, which takes well under a second; a longer wait means that
libvirt or another process hangs.
""",
    ),
)
