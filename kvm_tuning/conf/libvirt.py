"""``[libvirt]``: how the standalone adapter reaches libvirt."""

from oslo_config import cfg

GROUP = 'libvirt'
#: Only root can write there; see etc/kvm_tuning/tmpfiles.d.
LOCK_PATH = '/run/kvm-tuning'

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
        default=LOCK_PATH,
        help="""
Directory of the lock under which a guest is planned and defined. All
processes that tune guests on this host have to use the same one: it keeps
two of them from giving one pCPU to two guests. It is made when it is missing.
It and all directories above it must belong to root, or to whoever runs
``guest tune``, and others must not be able to write there; links are followed
only where root alone can have made them, as ``/var/run``.
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
