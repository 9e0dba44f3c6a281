"""Show on a terminal how far a command is."""

from collections.abc import Callable, Iterator
import contextlib
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


@contextlib.contextmanager
def steps(stderr: TextIO, count: int) -> Iterator[Callable[[str], None]]:
    """Show a bar while a ``with`` lasts, if ``stderr`` is a terminal.

    Yields what is to be called at the start of each of ``count`` steps, with
    what it is.
    """
    progress = Progress(
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(file=stderr),
        transient=True,
        disable=not stderr.isatty(),
    )
    with progress:
        task = progress.add_task('', total=count)
        done = 0

        def step(text: str) -> None:
            nonlocal done
            progress.update(task, description=text, completed=done)
            done += 1

        yield step
