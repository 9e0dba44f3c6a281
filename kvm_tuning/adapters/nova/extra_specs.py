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
        *(
            validator(knob)
            for name, knob in sorted(knobs.items())
            if not knob.nova
        ),
        _misspelt(),
    ]


def _misspelt() -> Any:
    """Return what makes nova-api refuse our namespace in other spellings.

    nova-api lets any name through whose namespace no validator has. This one
    has ``KVM``, ``kvm_tuning`` and the like, and no name in them.
    """
    letters = ''.join(f'[{c}{c.upper()}]' for c in 'kvm')
    longer = ''.join(f'[{c}{c.upper()}]' for c in 'tuning')
    return base.ExtraSpecValidator(
        name='{namespace}:{name}',
        description='Not an extra spec: the namespace is kvm.',
        value={'type': str, 'pattern': '(?!)'},
        parameters=[
            {
                'name': 'namespace',
                'pattern': f'(?!kvm(?![_tT-])){letters}([_-]?{longer})?',
            },
            {'name': 'name', 'pattern': '(?!)'},
        ],
    )


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
