"""Raise an error of ours as Nova's, once it has been logged."""

from collections.abc import Callable, Iterator
import contextlib
import logging
from typing import Any

from nova import exception

from kvm_tuning.adapters.nova.compute import events, faults
from kvm_tuning.core.exceptions import KvmTuningError

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def refusing(
    instance: Any,
    convert: Callable[[KvmTuningError], Exception],
    context: Any = None,
) -> Iterator[None]:
    """Log an error of ours, and raise it as Nova's.

    :param convert: makes Nova's exception.
    :param context: write an event of the server, too; None: do not.
    """
    try:
        yield
    except KvmTuningError as error:
        told = faults.told(error)
        LOG.error('instance %s: %s', instance.uuid, told)
        if context is not None:
            events.refused(context, instance, told)
        raise convert(error) from error


def rolled_back(error: KvmTuningError) -> Exception:
    """Return the error as one after which Nova puts its state back."""
    rolled_back: Exception = exception.InstanceFaultRollback(
        inner_exception=faults.abort(error)
    )
    return rolled_back
