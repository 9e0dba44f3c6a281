"""Makes the service of dynamic vendordata from its configuration."""

import functools
from typing import Any

from oslo_config import cfg

from kvm_tuning import loader
from kvm_tuning.adapters import cloud
from kvm_tuning.adapters.vendordata import receipts, servers
from kvm_tuning.adapters.vendordata.lookup import Lookup, Source
from kvm_tuning.conf import vendordata as options
from kvm_tuning.wsgi import authentication
from kvm_tuning.wsgi.application import Application


def make(conf: cfg.ConfigOpts) -> Any:
    """Return the WSGI application of a configuration.

    :raises ConfigInvalid: a library that it needs is missing.
    :raises CloudFailed: there is no such cloud in clouds.yaml.
    """
    group = conf[options.GROUP]
    keystone = group.auth_strategy == 'keystone'
    made: Any = Application(
        Lookup(_source(group), group.deadline, group.workers),
        group.roles if keystone else None,
        group.most_bytes,
        group.body_timeout,
    )
    if keystone:
        made = authentication.guard(made, conf)
    return made


def _source(group: Any) -> Source:
    if group.source == 'libvirt':
        authentication.require(
            'libvirt',
            '[vendordata] source = libvirt',
            'pip install kvm-tuning[libvirt]',
        )
        return functools.partial(receipts.settings, group.libvirt_uri)

    # Now, not in the first request: what is imported takes seconds.
    connection = cloud.connect(group.cloud, api_timeout=group.call_timeout)
    loader.load()
    return lambda server: servers.settings(
        connection, server, group.call_timeout
    )
