"""``[vendordata]``: the service that tells guests what to do themselves.

It has a configuration of its own, with ``[keystone_authtoken]`` next to it: it
may run where no guests are, and it has a password.
"""

from collections.abc import Sequence

from oslo_config import cfg, types

GROUP = 'vendordata'

#: Below the root.
FILE = '/etc/kvm-tuning/vendordata.conf'
#: Names another file.
ENVIRONMENT = 'KVM_TUNING_VENDORDATA_CONF'

OPTIONS = (
    cfg.StrOpt(
        'listen',
        default='127.0.0.1:8089',
        help="""
Address and port that ``kvm-tuning-vendordata`` listens on; another WSGI
server has an option of its own.
""",
    ),
    cfg.IntOpt(
        'connections',
        default=1000,
        min=8,
        max=65536,
        help="""
Most connections of ``kvm-tuning-vendordata`` at one time. One that sends
nothing costs a file descriptor until ``body_timeout`` is over.
""",
    ),
    cfg.IntOpt(
        'threads',
        default=16,
        min=1,
        max=256,
        help="""
Threads of ``kvm-tuning-vendordata`` that answer requests; more than
``workers``, so that a request is still answered when all lookups hang.
""",
    ),
    cfg.StrOpt(
        'source',
        default='nova',
        choices=('nova', 'libvirt'),
        help="""
Where a server's tuning is looked up. ``nova``: its flavor, its image and its
ports, by Nova's API; it works wherever the service runs, and for config
drives, too, which are made before there is a guest. ``libvirt``: the receipt
of the guest, in the libvirt of this host; for a metadata service on each
compute node, without config drives.
""",
    ),
    cfg.StrOpt(
        'cloud',
        help="""
The cloud of clouds.yaml whose Nova and Glance are asked (source ``nova``);
its user must be able to see all servers. Unset: the environment's (OS_*).
""",
    ),
    cfg.StrOpt(
        'libvirt_uri',
        default='qemu:///system',
        help="""
The libvirt whose receipts are read (source ``libvirt``).
""",
    ),
    cfg.FloatOpt(
        'call_timeout',
        default=2.0,
        min=0.1,
        max=60.0,
        help="""
Seconds until a call of Nova's or Glance's API counts as failed.
""",
    ),
    cfg.FloatOpt(
        'deadline',
        default=4.0,
        min=0.1,
        max=60.0,
        help="""
Seconds until an answer is given, an empty one if need be. Keep it below
Nova's ``[api] vendordata_dynamic_read_timeout``, which is 5.
""",
    ),
    cfg.FloatOpt(
        'body_timeout',
        default=5.0,
        min=0.1,
        max=60.0,
        help="""
Seconds without a byte after which ``kvm-tuning-vendordata`` closes a
connection, and gunicorn gives up on the body of a request; behind other
servers set their own limit.
""",
    ),
    cfg.IntOpt(
        'most_bytes',
        default=262144,
        min=1024,
        max=16777216,
        help="""
Most bytes of a request's body. Nova sends the user-data of the server with
it, up to 64 KiB, and its metadata.
""",
    ),
    cfg.IntOpt(
        'workers',
        default=8,
        min=1,
        max=256,
        help="""
Most lookups at one time in one process. What comes while all of them hang is
answered with nothing, at once.
""",
    ),
    cfg.StrOpt(
        'auth_strategy',
        default='keystone',
        choices=('keystone', 'noauth'),
        help="""
Who may ask. ``keystone``: who has a token with one of the roles;
``noauth``: anybody who reaches the service, for tests.
""",
    ),
    cfg.ListOpt(
        'roles',
        default=['service', 'admin'],
        item_type=types.String(max_length=255),
        help="""
Roles that may ask: one of them is enough.
""",
    ),
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by group (entry point ``oslo.config.opts``)."""
    return [(GROUP, list(OPTIONS))]


def load(files: Sequence[str]) -> cfg.ConfigOpts:
    """Return the service's configuration.

    :raises cfg.Error: a file cannot be read, or a value makes no sense.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTIONS, group=GROUP)
    conf([], project='kvm-tuning', default_config_files=list(files))
    for option in OPTIONS:
        conf[GROUP][option.dest]
    return conf
