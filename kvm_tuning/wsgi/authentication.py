"""Keystone's check of tokens, in front of an application."""

from collections.abc import Iterator
import importlib
from typing import Any

from oslo_config import cfg

from kvm_tuning.core.exceptions import ConfigInvalid

_GROUP = 'keystone_authtoken'
_EXTRA = 'pip install kvm-tuning[vendordata]'

#: Seconds that memcached may take. Nova's compute waits meanwhile, and
#: keystonemiddleware's own default of 3 would use up its patience.
_MEMCACHED_SECONDS = 1


def guard(application: Any, conf: cfg.ConfigOpts) -> Any:
    """Return an application that answers only those with a valid token.

    :raises ConfigInvalid: a library that ``[keystone_authtoken]`` needs is
        missing.
    """
    auth_token = require(
        'keystonemiddleware.auth_token',
        '[vendordata] auth_strategy = keystone',
        _EXTRA,
    )
    declared = importlib.import_module('keystonemiddleware.opts')
    for group, options in declared.list_auth_token_opts():
        conf.register_opts(options, group=group)
    conf.set_default(
        'memcache_pool_socket_timeout', _MEMCACHED_SECONDS, group=_GROUP
    )
    # keystonemiddleware imports these in the first request, and each request
    # fails where they are missing.
    for library, option, package in _libraries(conf[_GROUP]):
        require(library, f'[{_GROUP}] {option}', package)
    return auth_token.AuthProtocol(application, {'oslo_config_config': conf})


def require(library: str, option: str, remedy: str) -> Any:
    """Return a library that a configuration needs.

    :param option: what needs it, as the message names it.
    :param remedy: the command that installs it.
    :raises ConfigInvalid: it cannot be imported.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ConfigInvalid(
            f'{option} needs the library {library}, which cannot be imported '
            f'({error}): {remedy}'
        ) from error


def _libraries(group: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what a configuration needs: the library, the option that needs
    it, and the command that installs it.
    """
    if not group.memcached_servers:
        return
    servers = f'memcached_servers = {",".join(group.memcached_servers)}'
    if group.memcache_tls_enabled or group.memcache_sasl_enabled:
        yield (
            'bmemcached',
            f'{servers} with TLS or SASL',
            'pip install python-binary-memcached',
        )
    else:
        yield 'memcache', servers, _EXTRA
    if (group.memcache_security_strategy or '').lower() == 'encrypt':
        yield (
            'cryptography',
            f'memcache_security_strategy = {group.memcache_security_strategy}',
            'pip install cryptography',
        )
