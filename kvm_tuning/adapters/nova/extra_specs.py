"""Nova's API validators for our extra specs, from the knobs' declarations.

nova-api imports this module (entry point ``nova.api.extra_spec_validators``)
and refuses a flavor's bad value, or an unknown ``kvm:`` key, with HTTP 400 at
microversion 2.86 and later.
"""

from typing import Any

from nova.api.validation.extra_specs import base

from kvm_tuning import loader
from kvm_tuning.core.knobs import Knob


def register() -> list[Any]:
    """Return the validators of all knobs that are not Nova's own."""
    knobs = loader.knobs(loader.load())
    return [
        validator(knob)
        for name, knob in sorted(knobs.items())
        if not knob.nova
    ]


def validator(knob: Knob) -> Any:
    """Return the validator of one knob."""
    name, parameters = knob.name, []
    if knob.parameter is not None:
        name += '.{number}'
        parameters = [{'name': 'number', 'pattern': knob.parameter}]
    return base.ExtraSpecValidator(
        name=name,
        description=knob.help,
        value=knob.kind.nova_value(),
        parameters=parameters,
    )
