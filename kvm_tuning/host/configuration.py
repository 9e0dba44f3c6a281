"""The configuration of a host: all groups of options, and loading them.

``conf`` knows how options are read and owns those that are not of the host's
settings; here the groups of settings are added.
"""

from collections.abc import Sequence

from oslo_config import cfg

from kvm_tuning import conf
from kvm_tuning.conf import opts
from kvm_tuning.host.prep import options
from kvm_tuning.host.prep.groups.table import GROUPS


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return all options by group (entry point ``oslo.config.opts``)."""
    return [
        *opts.list_opts(),
        (options.GROUP, list(options.OPTIONS)),
        *((group.name, list(group.options)) for group in GROUPS),
    ]


def load(
    root: str = '/',
    files: Sequence[str] = (),
    directories: Sequence[str] = (),
) -> cfg.ConfigOpts:
    """Return the configuration of the host below ``root``.

    :param files: read these instead of the ones below ``root``.
    :param directories: read the ``*.conf`` in these, too.
    :raises ConfigInvalid: a file cannot be read, names an option that does
        not exist, or gives one a value that its type does not take.
    """
    return conf.read(list_opts(), root, files, directories)


def defaults() -> cfg.ConfigOpts:
    """Return the configuration of a host that has none."""
    return conf.without_files(list_opts())
