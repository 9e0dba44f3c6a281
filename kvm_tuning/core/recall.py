"""Recall from its receipt what was requested for a guest."""

from collections.abc import Mapping

from kvm_tuning.core.exceptions import InvalidDocument, UnknownKnob
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Knob, Source, by_name
from kvm_tuning.core.nova import topology
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.request import Asked, Request


def request(
    receipt: Receipt,
    guest: Guest,
    knobs: Mapping[str, Knob],
    pci_aliases: Mapping[str, Mapping[str, str]] | None = None,
) -> Request:
    """Return the request that ``receipt`` answers.

    :param guest: the domain as it is: its size comes from the flavor.
    :param pci_aliases: Nova's ``[pci] alias`` by name.
    :raises UnknownKnob: a knob is no longer installed.
    :raises InvalidDocument: a value is no longer valid.
    """
    asked: dict[str, Asked] = {}
    extra_specs: dict[str, str] = {}
    properties: dict[str, str] = {}
    for each in receipt.asked:
        knob = by_name(knobs, each.key)
        if knob is None:
            raise UnknownKnob(
                f'{each.key} ({each.origin}) of the receipt is not a knob: '
                'its hook is no longer installed'
            )
        try:
            value = knob.kind.parse(each.text)
        except ValueError as error:
            raise InvalidDocument(
                f'{each.key}={each.text} ({each.origin}) of the receipt: '
                f'want {error}'
            ) from error
        asked[each.key] = Asked(
            each.key, value, each.text, each.source, each.origin, knob
        )
        if each.source is Source.FLAVOR:
            extra_specs[each.key] = each.text
        elif each.source is Source.IMAGE and knob.image is not None:
            properties[knob.image] = each.text
    memory_mib = guest.memory_kib // 1024
    return Request(
        flavor=receipt.flavor,
        vcpus=guest.vcpus,
        memory_mib=memory_mib,
        asked=asked,
        topology=topology.read(
            guest.vcpus, memory_mib, extra_specs, properties
        ),
        extra_specs=extra_specs,
        image_properties=properties,
        pci_aliases=pci_aliases or {},
    )
