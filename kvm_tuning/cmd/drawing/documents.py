"""Write pictures as SVG and as a page of HTML that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from kvm_tuning.cmd.command import escaped
from kvm_tuning.cmd.drawing import layout, wording
from kvm_tuning.cmd.drawing.layout import Box, Layout
from kvm_tuning.core import cpuset
from kvm_tuning.core.picture.model import Domain, Picture

#: Room for a heading above each picture.
_HEAD = 44


@dataclass(frozen=True, slots=True)
class _Part:
    heading: str
    picture: Picture
    layout: Layout
    top: float


def svg(pictures: Sequence[tuple[str, Picture]]) -> str:
    """Return one SVG with all pictures, each with its heading."""
    return _svg(_parts(pictures))


def html(pictures: Sequence[tuple[str, Picture]]) -> str:
    """Return one page with all pictures and their tables."""
    parts = _parts(pictures)
    # Made by a template that escapes, just now.
    drawn = Markup(_svg(parts))  # noqa: S704
    return _render('page.html.j2', parts=parts, svg=drawn, label=_label(parts))


def _label(parts: Sequence[_Part]) -> str:
    return ' / '.join(part.heading for part in parts)


def _parts(pictures: Sequence[tuple[str, Picture]]) -> list[_Part]:
    parts, top = [], 0.0
    for heading, picture in pictures:
        made = layout.of(picture)
        parts.append(_Part(escaped(heading), picture, made, top + _HEAD))
        top += _HEAD + made.height
    return parts


def _svg(parts: Sequence[_Part]) -> str:
    last = parts[-1]
    guests = max(len(part.picture.guests) for part in parts)
    return _render(
        'picture.svg.j2',
        parts=parts,
        label=_label(parts),
        width=layout.WIDTH,
        margin=layout.MARGIN,
        height=last.top + last.layout.height + layout.MARGIN,
        colours=layout.colour_rules(guests),
    )


def _render(template: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('kvm_tuning.cmd.drawing', '.'),
        # The names end in .j2, and guests' names are anybody's.
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        px=_px,
        font=_font,
        shown=escaped,
        facts=wording.facts,
        cellname=wording.cell,
        memory=wording.memory,
        device=wording.device,
        domain=_domain,
    )
    return environment.get_template(template).render(**values) + '\n'


def _px(number: float) -> str:
    return f'{number:.1f}'.removesuffix('.0')


def _font(box: Box) -> float:
    """Return the size of the text on a box: what fits, at most 15 px."""
    return min(15.0, box.height * 0.62, box.width / len(box.text) / 0.64)


def _domain(domain: Domain) -> str:
    pcpus = cpuset.format(cpu for core in domain.cores for cpu in core)
    if domain.number is None:
        return f'no L3: pCPU {pcpus}'
    return f'L3 {domain.number}: pCPU {pcpus}'
