"""The goals that make the next boot use kernel arguments, wherever the boot
loader takes them from.
"""

from collections.abc import Iterable, Iterator

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import effect, families, wanted
from kvm_tuning.host.prep.goals import Argument, Item, Note, Unseen
from kvm_tuning.host.prep.journal import Journal
from kvm_tuning.host.prep.kinds.kernel_arguments import CONCERN


def goals(
    host: Host,
    arguments: Iterable[Argument],
    managed: Iterable[str],
    record: Journal | None = None,
) -> Iterator[Item]:
    """Yield the goals that make the next boot use ``arguments``.

    :param managed: see :attr:`Request.managed`.
    :param record: tells what is ours of what is there. Without it nothing
        goes but other values of ``managed``.
    """
    arguments = list(arguments)
    if not arguments:
        return
    try:
        made = wanted.request(host, arguments, managed, record)
    except InventoryUnreadable as error:
        yield Unseen(CONCERN, 'the running kernel', str(error))
        return
    for text in dict.fromkeys(
        (*effect.ignored(host, arguments), *filter(None, [made.shortfall]))
    ):
        yield Note(CONCERN, text)
    for subject, family in families.ALL:
        try:
            yield from family(made)
        except InventoryUnreadable as error:
            yield made.unseen(subject, error)
