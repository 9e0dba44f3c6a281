"""Draw the reference pages from the declarations.

``.. kvm-tuning-knobs::`` lists every installed hook with its knobs, those
from outside the tree included; ``.. kvm-tuning-errors::`` every error code,
``.. kvm-tuning-error-remedies::`` with what to do about it, and
``.. kvm-tuning-finding-remedies::`` the same for the findings of an audit;
``.. kvm-tuning-assessments::`` every code of an assessment;
``.. kvm-tuning-guest-table::`` what becomes of each knob of this tree, which
needs the scenarios of a checkout and fails when a knob lacks one;
``.. kvm-tuning-host-table::`` the same for each group of host settings;
``.. kvm-tuning-worth:: FILE`` what is published about the worth of each.
"""

from collections.abc import Iterable, Iterator, Mapping
import importlib
import inspect
import json
from pathlib import Path
import sys
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective
import yaml

from kvm_tuning import guest_table, host_table, loader, worth_table
from kvm_tuning.core import exceptions
from kvm_tuning.core.assess.codes import CODES
from kvm_tuning.core.audit.rules.remedies import REMEDIES
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.plan import Hook
from kvm_tuning.guest_table import Row
from kvm_tuning.host import document
from kvm_tuning.host.prep.groups.group import Rivals
from kvm_tuning.host.prep.groups.table import GROUPS


class KnobsDirective(SphinxDirective):
    """Every hook and its knobs."""

    def run(self) -> list[nodes.Node]:
        hooks = [hook for hook in loader.load() if hook.knobs]
        text = '\n'.join(line for hook in hooks for line in describe(hook))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class WorthDirective(SphinxDirective):
    """What is known of the worth of each knob and each group."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        _relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        with open(path, encoding='utf-8') as file:
            entries = yaml.safe_load(file)
        knobs = loader.knobs(loader.load())
        names = (*knobs, *(group.name for group in GROUPS))
        text = '\n'.join(worth_table.lines(worth_table.read(entries, names)))
        return self.parse_text_to_nodes(text)


class ErrorsDirective(SphinxDirective):
    """Every error code, below who must act."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes('\n'.join(errors()))


class ErrorRemediesDirective(SphinxDirective):
    """Every error code with its cause, who must act, and what to do."""

    def run(self) -> list[nodes.Node]:
        text = '\n'.join(error_remedies())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class FindingRemediesDirective(SphinxDirective):
    """Every code of a finding with what is behind it, and what to do."""

    def run(self) -> list[nodes.Node]:
        text = '\n'.join(finding_remedies())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class AssessmentsDirective(SphinxDirective):
    """Every code of an assessment, each with an anchor of its name."""

    def run(self) -> list[nodes.Node]:
        text = '\n'.join(assessments())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class DocumentDirective(SphinxDirective):
    """Every key of cloud-config that is ours."""

    def run(self) -> list[nodes.Node]:
        keys = document.schema()['properties']
        return self.parse_text_to_nodes('\n'.join(keys_of(keys)))


class GuestTableIncomplete(SphinxError):
    """A knob lacks a scenario, or an audit and the reason for none."""

    category = 'guest table'


class HostTableIncomplete(SphinxError):
    """A group of host settings lacks something."""

    category = 'host table'


class HostTableDirective(SphinxDirective):
    """Every group of host settings, and what the whole-host test shows."""

    def run(self) -> list[nodes.Node]:
        evidence = _fixture(self, 'host_settings', 'host_evidence')
        rows = host_table.rows(GROUPS, evidence.gathered())
        return self.parse_text_to_nodes('\n'.join(groups(rows)))


def groups(rows: Iterable[host_table.Row]) -> Iterator[str]:
    """Yield the reStructuredText about the groups, one after the other.

    :raises HostTableIncomplete: with all that a group lacks.
    """
    rows = tuple(rows)
    lacking = list(host_table.missing(rows))
    if lacking:
        raise HostTableIncomplete('\n'.join(lacking))
    for row in rows:
        group = row.group
        yield f':ref:`{group.name} <{host_table.anchor(group.name)}>`'
        yield from (
            f'   :{what}: {text}'
            for what, text in (
                ('options', _listed(option.dest for option in group.options)),
                ('sets', _listed(sorted(row.evidence.kinds))),
                (
                    'others that are found',
                    ', '.join(_rivals(group.rivals)) or 'nobody',
                ),
                ('persisted by', group.persisted),
                ('undo restores', group.undone),
            )
        )
        yield ''


def _rivals(rivals: Rivals | None) -> Iterator[str]:
    if rivals is None:
        return
    if rivals.tuned:
        yield 'TuneD'
    yield from (f'``{name}=``' for name in rivals.arguments)
    yield from rivals.daemons.values()
    if rivals.attributes:
        yield 'sysctl.d, tmpfiles.d, sysfs.conf, udev'
    if rivals.find is not None:
        yield "the group's own search"


def _fixture(directive: SphinxDirective, data: str, module: str) -> Any:
    """Return a module of the checkout's test fixtures.

    :param data: the folder of tests that the module reads.
    :raises SphinxError: there is no checkout.
    """
    checkout = Path(directive.env.srcdir).parents[1]
    for path in sorted((checkout / 'tests' / data).rglob('*.*')):
        directive.env.note_dependency(str(path))
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    try:
        return importlib.import_module(f'tests.fixtures.{module}')
    except ImportError as exc:
        raise SphinxError(
            f'tests/{data} of a checkout is needed: {exc}'
        ) from exc


class GuestTableDirective(SphinxDirective):
    """Every knob of this tree: what it becomes and what proves it."""

    def run(self) -> list[nodes.Node]:
        scenarios = _fixture(self, 'scenarios', 'scenarios')
        rows = guest_table.rows(
            own(loader.load()),
            scenarios.described(),
            scenarios.recordings(),
        )
        return self.parse_text_to_nodes('\n'.join(table(rows)))


def own(hooks: Iterable[Hook]) -> tuple[Hook, ...]:
    """Return the hooks of this tree: scenarios of others are theirs."""
    return tuple(
        hook
        for hook in hooks
        if type(hook).__module__.startswith('kvm_tuning.hooks.')
    )


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the reStructuredText of the guest knobs' table.

    :raises GuestTableIncomplete: with all that a row lacks.
    """
    rows = tuple(rows)
    lacking = list(guest_table.missing(rows))
    if lacking:
        raise GuestTableIncomplete('\n'.join(lacking))
    yield from ('.. list-table::', '   :header-rows: 1', '')
    yield from _cells(
        'knob', 'hook', 'becomes', 'scenarios: kept, refused', 'audited as'
    )
    for row in rows:
        name = row.knob.name
        yield from _cells(
            f'``{name}``' if row.knob.parameter is None else f'``{name}.N``',
            f':ref:`{row.hook} <hook-{row.hook}>`',
            _listed(row.becomes) or 'nothing in the guest',
            f'{row.kept}, {row.refused}',
            _listed(row.audited)
            if row.knob.unaudited is None
            else f'not: {row.knob.unaudited}',
        )


def _cells(first: str, *others: str) -> Iterator[str]:
    yield f'   * - {first}'
    yield from (f'     - {each}' for each in others)


def _listed(words: Iterable[str]) -> str:
    return ', '.join(f'``{word}``' for word in words)


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


def keys_of(keys: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield the reStructuredText of a JSON schema's keys."""
    indent = '    ' * depth
    for name, schema in keys.items():
        yield f'{indent}``{name}``'
        words = [document.want(schema)]
        if 'items' in schema:
            words.append(f'of: {document.want(schema["items"])}')
        if 'default' in schema:
            words.append(f'default ``{json.dumps(schema["default"])}``')
        yield f'{indent}    ({", ".join(words)})'
        if 'description' in schema:
            yield f'{indent}    {schema["description"]}'
        yield ''
        yield from keys_of(schema.get('properties', {}), depth + 1)


def errors() -> Iterator[str]:
    """Yield the reStructuredText of all error codes."""
    for base in KvmTuningError.__subclasses__():
        yield from ('', f'``{base.__name__}``: the {base.who} must act', '')
        for error in _codes(base):
            if error is not base:
                yield f'    :ref:`{error.__name__} <error-{error.__name__}>`'
                yield f'        {_summary(error)}'


def error_remedies() -> Iterator[str]:
    """Yield the reStructuredText of what to do about each error."""
    for base in KvmTuningError.__subclasses__():
        yield from _headed(_summary(base).split(':')[0].rstrip('.'), '-')
        yield from (base.seen, '')
        for error in _codes(base):
            yield f'.. _error-{error.__name__}:'
            yield from _headed(error.__name__, '~')
            yield from (_summary(error), '')
            yield f':Who must act: the {error.who}'
            yield from (f':What to do: {error.remedy}', '')


def finding_remedies() -> Iterator[str]:
    """Yield the reStructuredText of what to do about each finding."""
    for each in REMEDIES:
        yield from _headed(', '.join(each.codes), '-')
        yield from (each.cause, '')
        yield f':Who must act: {each.who}'
        yield from (f':What to do: {each.act}', '')


def assessments() -> Iterator[str]:
    """Yield the reStructuredText of each code of an assessment."""
    for code in CODES.values():
        yield from (f'.. _{code.name}:', '')
        yield from _headed(code.name, '-')
        title = f'{code.title[0].upper()}{code.title[1:]}'
        yield from (f'{title}. {code.why}', '')
        yield f':Severity: {code.severity.value}'
        yield f':What changes it: {code.knob}'
        yield from (f':What that costs: {code.cost}', '')


def _codes(base: type[KvmTuningError]) -> list[type[KvmTuningError]]:
    """Return the errors below a base; itself when there is none."""
    below = [
        error
        for _name, error in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(error, base) and error is not base
    ]
    return below or [base]


def _summary(error: type[KvmTuningError]) -> str:
    return ' '.join((inspect.getdoc(error) or '').split())


def _headed(title: str, line: str) -> tuple[str, ...]:
    return ('', title, line * len(title), '')


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives (Sphinx calls it)."""
    app.add_directive('kvm-tuning-knobs', KnobsDirective)
    app.add_directive('kvm-tuning-worth', WorthDirective)
    app.add_directive('kvm-tuning-errors', ErrorsDirective)
    app.add_directive('kvm-tuning-error-remedies', ErrorRemediesDirective)
    app.add_directive('kvm-tuning-finding-remedies', FindingRemediesDirective)
    app.add_directive('kvm-tuning-assessments', AssessmentsDirective)
    app.add_directive('kvm-tuning-document', DocumentDirective)
    app.add_directive('kvm-tuning-guest-table', GuestTableDirective)
    app.add_directive('kvm-tuning-host-table', HostTableDirective)
    return {'version': '1.0', 'parallel_read_safe': True}
