"""One page of HTML about results of ``kvm-tuning bench``, with plots."""

from collections.abc import Iterator, Sequence
import html
import io
import json
from typing import Any

from kvm_tuning.cmd import bench_result
from kvm_tuning.cmd.bench_result import COUNTS, Result
from kvm_tuning.cmd.command import Section
from kvm_tuning.core.exceptions import BenchFailed

_STYLE = """\
body { font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 60em;
       padding: 0 1em; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border-bottom: 1px solid #999; padding: .2em .8em .2em 0;
         text-align: left; vertical-align: top; overflow-wrap: break-word; }
svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; background: #f4f4f4; padding: 1em; }
"""
#: Counts that are drawn: those that differ by where memory is.
_DRAWN = ('local_share', 'huge_share')
_INCHES = 8.0
_INCHES_A_ROW = 0.45


def check() -> None:
    """:raises BenchFailed: what draws is not installed."""
    _figure()


def page(results: Sequence[Result]) -> str:
    """Return the page, which needs nothing but itself.

    :raises BenchFailed: what draws is not installed.
    """
    title = 'What the place of memory and threads costs'
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f'<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{title}</h1>\n'
    ]
    machines, *measured = bench_result.output(results).sections
    parts += map(_section, measured)
    for result in results:
        parts += _plots(result)
    parts.append(_section(machines))
    raw = html.escape(json.dumps(list(results), indent=1))
    parts.append(
        '<details>\n<summary>Each round, and the machines</summary>\n'
        f'<pre>{raw}</pre>\n</details>\n</body>\n</html>\n'
    )
    return ''.join(parts)


def _section(section: Section) -> str:
    parts = [f'<h2>{html.escape(section.title)}</h2>\n']
    if section.rows:
        parts.append('<table>\n' + _row('th', section.columns))
        parts += [_row('td', row) for row in section.rows]
        parts.append('</table>\n')
    parts += [f'<p>{html.escape(line)}</p>\n' for line in section.lines]
    return ''.join(parts)


def _row(tag: str, cells: Sequence[Any]) -> str:
    texts = (html.escape(str(cell)) for cell in cells)
    return '<tr>{}</tr>\n'.format(
        ''.join(f'<{tag}>{text}</{tag}>' for text in texts)
    )


def _plots(result: Result) -> Iterator[str]:
    """Yield a plot of each round's value for each arm."""
    names = bench_result.letters(result)
    name = result.get('name')
    where = f' ({name})' if name else ''
    rows = list(names.values())
    for key in _DRAWN:
        values = [bench_result.counts(result, arm, key) for arm in names]
        if None not in values:
            shares = [[100 * v for v in each or ()] for each in values]
            yield _plot(f'{COUNTS[key][0]}, %{where}', rows, shares, 100)
    if result['no_times'] is None:
        times = [bench_result.seconds(result, arm) for arm in names]
        yield _plot(f'seconds, each round{where}', rows, times, None)


def _plot(
    title: str,
    arms: Sequence[str],
    values: Sequence[Sequence[float]],
    most: float | None,
) -> str:
    """Return a plot as SVG: a dot each round, a line at the median.

    :param most: the end of the axis; None: behind the greatest value.
    """
    import statistics

    figure = _figure()(
        figsize=(_INCHES, 1 + _INCHES_A_ROW * len(arms)), layout='constrained'
    )
    axes = figure.subplots()
    for row, each in enumerate(values):
        axes.plot(each, [row] * len(each), 'o', color='#0b61a4', alpha=0.5)
        axes.plot(statistics.median(each), row, '|', color='#c03000', ms=22)
    axes.set_yticks(range(len(arms)), arms)
    axes.invert_yaxis()
    axes.set_xlim(0, most and most * 1.02)
    axes.set_title(title, loc='left')
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None})
    svg = buffer.getvalue()
    return f'<figure>{svg[svg.index("<svg") :]}</figure>\n'


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchFailed(
            '--html needs matplotlib: pip install kvm-tuning[bench]'
        ) from error
    return Figure
