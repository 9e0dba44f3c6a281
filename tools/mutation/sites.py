"""What can be broken in a source text, one small change at a time."""

import ast
from collections.abc import Iterator
import copy
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip
#: A text with this many spaces is words for people, and may be any.
_PROSE = 2


@dataclass(frozen=True)
class Site:
    """One change of one place of a source text.

    ``start`` and ``end`` are offsets in its UTF-8 bytes, ``lines`` the lines
    whose tests may notice, ``names`` the names that the place defines when it
    is run at import and not in a function, else empty.
    """

    kind: str
    line: int
    start: int
    end: int
    text: str
    lines: tuple[int, ...]
    at_import: bool
    names: tuple[str, ...]

    def apply(self, source: str) -> str:
        """Return the source text with this change."""
        data = source.encode()
        return (
            data[: self.start] + self.text.encode() + data[self.end :]
        ).decode()


def sites(source: str) -> list[Site]:
    """Return each change of a source text, by line.

    Docstrings, annotations, words for people, parts of f-strings and what
    only type checkers read stay as they are.
    """
    finder = _Finder(source)
    finder.visit_body(ast.parse(source).body)
    return sorted(finder.found, key=lambda site: (site.line, site.start))


class _Finder:
    def __init__(self, source: str) -> None:
        self.found: list[Site] = []
        self._starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._functions = 0
        self._names: tuple[str, ...] = ()
        # The first line of the statement that is visited
        self._first = 0

    def visit_body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._visit_statement(statement)

    def _visit_statement(self, node: ast.stmt) -> None:
        before = self._first, self._names
        self._first = node.lineno
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._visit_function(node)
            case ast.ClassDef():
                self._names = (*self._names, node.name)
                self._expressions(*node.decorator_list, *node.bases)
                self.visit_body(node.body)
            case ast.Import() | ast.ImportFrom() | ast.Global() | ast.Pass():
                pass
            case ast.Expr(ast.Constant()):
                pass
            case ast.If(ast.Name('TYPE_CHECKING')):
                pass
            case _:
                self._visit_other(node)
        self._first, self._names = before

    def _visit_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef
    ) -> None:
        if not self._functions:
            self._names = (node.name,)
        self._expressions(
            *node.decorator_list,
            *node.args.defaults,
            *filter(None, node.args.kw_defaults),
        )
        self._functions += 1
        self.visit_body(node.body)
        self._functions -= 1

    def _visit_other(self, node: ast.stmt) -> None:
        if not self._functions:
            self._names += tuple(
                each.id
                for each in ast.walk(node)
                if isinstance(each, ast.Name)
                and isinstance(each.ctx, ast.Store)
            )
        match node:
            case ast.Return(ast.expr() as value):
                if not (isinstance(value, ast.Constant) and not value.value):
                    self._add('return', value, 'None')
            case ast.If(test=test) | ast.While(test=test):
                self._add('negate', test, f'(not ({ast.unparse(test)}))')
                if isinstance(node, ast.If):
                    self._add('branch', test, 'False')
            case ast.Raise() | ast.Expr() | ast.AugAssign() | ast.Delete():
                if self._functions:
                    self._add('drop', node, 'pass')
            case ast.Continue():
                self._add('drop', node, 'break')
        for each in ast.iter_child_nodes(node):
            match each:
                case ast.stmt():
                    self._visit_statement(each)
                case ast.ExceptHandler():
                    self.visit_body(each.body)
                case ast.match_case():
                    self._expressions(each.pattern, each.guard)
                    self.visit_body(each.body)
                case ast.AST():
                    if not (
                        isinstance(node, ast.AnnAssign)
                        and each is node.annotation
                    ):
                        self._expressions(each)

    def _expressions(self, *nodes: ast.AST | None) -> None:
        for top in filter(None, nodes):
            for node in _walk(top):
                for kind, text in _changes(node):
                    self._add(kind, node, text)

    def _add(self, kind: str, node: ast.AST, text: str) -> None:
        if not isinstance(node, ast.expr | ast.stmt | ast.pattern):
            return
        last = node.end_lineno or node.lineno
        end = node.end_col_offset or node.col_offset
        first = min(node.lineno, self._first)
        self.found.append(
            Site(
                kind,
                node.lineno,
                self._starts[node.lineno - 1] + node.col_offset,
                self._starts[last - 1] + end,
                text,
                tuple(range(first, last + 1)),
                not self._functions,
                self._names if not self._functions else (),
            )
        )


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may be changed below a node, and nothing of f-strings."""
    if not isinstance(node, ast.JoinedStr):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _walk(child)


def _changes(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield kind and new text of each change of one expression."""
    match node:
        case ast.Constant(bool() as value):
            yield 'bool', repr(not value)
        case ast.Constant(int() as value):
            yield 'int', repr(value + 1)
        case ast.Constant(str() as value):
            if value.count(' ') < _PROSE:
                yield 'string', repr(value + 'X')
        case ast.Compare(ops=[op]) if type(op) in _COMPARED:
            other = copy.copy(node)
            other.ops = [_COMPARED[type(op)]()]
            yield 'compare', f'({ast.unparse(other)})'
        case ast.BoolOp(op=joined):
            either = copy.copy(node)
            either.op = ast.Or() if isinstance(joined, ast.And) else ast.And()
            yield 'and/or', f'({ast.unparse(either)})'
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            sum_ = copy.copy(node)
            sum_.op = _ARITHMETIC[type(operator)]()
            yield 'arithmetic', f'({ast.unparse(sum_)})'
        case ast.IfExp(test=test):
            turned = copy.copy(node)
            turned.test = ast.UnaryOp(ast.Not(), test)
            yield 'negate', f'({ast.unparse(turned)})'
