"""Draw the reference pages from the declarations.

``.. kvm-tuning-knobs::`` lists every installed hook with its knobs, those
from outside the tree included; ``.. kvm-tuning-errors::`` every error code.
"""

from collections.abc import Iterator
import inspect
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from kvm_tuning import loader
from kvm_tuning.core import exceptions
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.plan import Hook


class KnobsDirective(SphinxDirective):
    """Every hook and its knobs."""

    def run(self) -> list[nodes.Node]:
        hooks = [hook for hook in loader.load() if hook.knobs]
        text = '\n'.join(line for hook in hooks for line in describe(hook))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class ErrorsDirective(SphinxDirective):
    """Every error code, below who must act."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes('\n'.join(errors()))


def describe(hook: Hook) -> Iterator[str]:
    """Yield the reStructuredText of one hook."""
    title = hook.name.replace('_', ' ')
    yield from ('', f'.. _hook-{hook.name}:', '', title, '-' * len(title), '')
    yield from (inspect.getdoc(type(hook)) or '').splitlines()
    yield ''
    for knob in hook.knobs:
        name = knob.name if knob.parameter is None else f'{knob.name}.N'
        yield f'``{name}``'
        yield f'    {knob.help}'
        yield ''
        yield from (f'    :{key}: {value}' for key, value in _fields(knob))
        yield ''


def _fields(knob: Knob) -> Iterator[tuple[str, str]]:
    yield 'Values', knob.kind.description
    if knob.default is not None:
        yield 'Default', f'``{knob.default}``'
    if knob.image is not None:
        yield 'Image property', f'``{knob.image}``'
    if knob.nova:
        yield 'Owner', 'Nova; honoured by this hook where there is no Nova'
    yield (
        'Asked by',
        (
            'the flavor, a profile, or the default of the host'
            if knob.preferable
            else 'the image'
            if knob.name == knob.image
            else 'the flavor'
            if knob.image is None
            else 'the flavor or the image'
        ),
    )
    yield 'Since', knob.since


def errors() -> Iterator[str]:
    """Yield the reStructuredText of all error codes."""
    for base in KvmTuningError.__subclasses__():
        yield from ('', f'``{base.__name__}``: the {base.who} must act', '')
        for _name, error in inspect.getmembers(exceptions, inspect.isclass):
            if issubclass(error, base) and error is not base:
                doc = ' '.join((inspect.getdoc(error) or '').split())
                yield f'    ``{error.__name__}``'
                yield f'        {doc}'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives (Sphinx calls it)."""
    app.add_directive('kvm-tuning-knobs', KnobsDirective)
    app.add_directive('kvm-tuning-errors', ErrorsDirective)
    return {'version': '1.0', 'parallel_read_safe': True}
