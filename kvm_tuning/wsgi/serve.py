"""Serve vendordata over HTTP: ``kvm-tuning-vendordata``.

waitress reads each request as a whole before a thread takes it up, so that
clients which are slow, or send nothing, cost a descriptor and no thread.
"""

import argparse
from collections.abc import Sequence
import importlib
import logging
import os
import resource
import sys
from typing import Any

from oslo_config import cfg

from kvm_tuning.conf import vendordata as options
from kvm_tuning.core.exceptions import ConfigInvalid, KvmTuningError
from kvm_tuning.wsgi import authentication

LOG = logging.getLogger(__name__)

# Nova's headers have a token of Keystone, which Fernet keeps below 1 KiB.
_HEADER_BYTES = 32768
# Descriptors that are not connections.
_OTHER_FILES = 64
# The backlog of the listening socket: Linux's own default since 5.4.
_BACKLOG = 4096


def server(application: Any, group: Any) -> Any:
    """Return a server that listens; ``run()`` serves until ``close()``.

    :param application: the WSGI application.
    :param group: the configuration's ``[vendordata]``.
    :raises ConfigInvalid: waitress is missing, or the address is not to be
        had.
    """
    waitress = authentication.require(
        'waitress', 'kvm-tuning-vendordata', 'pip install kvm-tuning[serve]'
    )
    try:
        return waitress.create_server(
            application,
            listen=group.listen,
            threads=group.threads,
            connection_limit=_connections(group.connections),
            backlog=_BACKLOG,
            # Who sends nothing for so long is hung up on.
            channel_timeout=max(1, round(group.body_timeout)),
            cleanup_interval=1,
            max_request_header_size=_HEADER_BYTES,
            # The application answers what is larger; beyond this, nobody
            # reads it.
            max_request_body_size=2 * group.most_bytes,
            # select(2) takes no descriptor above 1023.
            asyncore_use_poll=True,
            ident=None,
        )
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f'[vendordata] listen = {group.listen}: {error}'
        ) from error


def _connections(wanted: int) -> int:
    """Let this process have as many connections as are wanted, or as many as
    it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - _OTHER_FILES))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog='kvm-tuning-vendordata', description=__doc__
    )
    parser.add_argument(
        '--config-file',
        metavar='FILE',
        default=os.environ.get(options.ENVIRONMENT, options.FILE),
        help='Read this configuration (default: %(default)s).',
    )
    given = parser.parse_args(argv)
    os.environ[options.ENVIRONMENT] = given.config_file
    try:
        conf = options.load([given.config_file])
        # Its import makes the application: as other servers do it.
        made = importlib.import_module('kvm_tuning.wsgi.vendordata')
        serving = server(made.application, conf[options.GROUP])
    except (cfg.Error, KvmTuningError) as error:
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        return 3
    LOG.info('listening on %s', conf[options.GROUP].listen)
    serving.run()
    return 0


if __name__ == '__main__':
    sys.exit(main())
