"""Ask the nova-compute of a host, over the message bus of its cell."""

from collections.abc import Sequence
from typing import Any

from nova import config, context, rpc
import oslo_messaging

from kvm_tuning.adapters.nova.compute import endpoint
from kvm_tuning.core.exceptions import CloudFailed, Unsupported


def connect(files: Sequence[str]) -> None:
    """Connect to the bus that a ``nova.conf`` names.

    :param files: the configuration; none: where Nova looks for it.
    :raises CloudFailed: it cannot be read, or names no bus.
    """
    try:
        config.parse_args(
            ['kvm-tuning'],
            default_config_files=list(files) or None,
            configure_db=False,
        )
    except Exception as error:
        raise CloudFailed(f'the configuration of Nova: {error}') from error


def plan(host: str, budget: float | None, least_gain: float) -> dict[str, Any]:
    """Return the plan of a host's servers as a document.

    :param host: as ``openstack compute service list`` has it.
    :raises CloudFailed: its nova-compute does not answer.
    :raises Unsupported: it cannot plan.
    """
    client = rpc.get_client(
        oslo_messaging.Target(
            topic='compute',
            namespace=endpoint.NAMESPACE,
            version=endpoint.VERSION,
        )
    )
    try:
        answer = client.prepare(server=host).call(
            context.get_admin_context(),
            'rebalance_plan',
            budget=budget,
            least_gain=least_gain,
        )
    except oslo_messaging.MessagingException as error:
        text = ' '.join(str(error).split())
        raise CloudFailed(
            f'nova-compute of host {host!r} has no answer ({text}): it has to '
            f'run, with compute_driver = kvm_tuning.KvmTuningDriver of this '
            f'release; openstack compute service list has the names'
        ) from error
    if 'refused' in answer:
        raise Unsupported(f'host {host!r}: {answer["refused"]}')
    found: dict[str, Any] = answer['plan']
    return found
