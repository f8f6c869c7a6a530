"""Progress of a table: a bar over the pairs and one over the epochs of the pair in training; plain lines for a log."""

import contextlib
from collections.abc import Iterator

from rich import progress as rich_progress
from rich.console import Console

from gippo_jax.runs.progress import format_fields


class TableProgress:
  """Shows how far a table is.

  Args:
    screen: where to; without a terminal only the line of each finished pair is printed.
    num_pairs: pairs in all.
  """

  def __init__(self, screen: Console, num_pairs: int):
    self._screen = screen
    self._bars = rich_progress.Progress(
      rich_progress.TextColumn("{task.description}"),
      rich_progress.BarColumn(),
      rich_progress.MofNCompleteColumn(),
      rich_progress.TextColumn("{task.fields[shown]}"),
      rich_progress.TimeElapsedColumn(),
      console=screen,
      disable=not screen.is_terminal,
    )
    self._pairs = self._bars.add_task("pairs", total=num_pairs, shown="")

  def __enter__(self) -> "TableProgress":
    self._bars.start()
    return self

  def __exit__(self, *_) -> None:
    self._bars.stop()

  def advance(self, line: str) -> None:
    """One more pair is done."""
    self._bars.advance(self._pairs)
    self._bars.console.print(line, highlight=False)

  def of_run(self, name: str) -> "RunProgress":
    """The bar of a pair's own run."""
    return RunProgress(self._bars, name)


class RunProgress:
  """A run's `gippo_jax.runs.progress.Progress` inside the table's.

  Args:
    bars: of the table.
    name: of the pair.
  """

  def __init__(self, bars: rich_progress.Progress, name: str):
    self._bars = bars
    self._task = bars.add_task(f"{name}: compiling", total=None, shown="")
    self._name = name

  def start(self, epoch: int, num_epochs: int) -> None:
    """The first chunk is about to run."""
    self._bars.update(self._task, description=self._name, total=num_epochs, completed=epoch)

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """A chunk is done."""
    self._bars.update(self._task, completed=epoch, shown=format_fields(fields))

  @contextlib.contextmanager
  def phase(self, name: str) -> Iterator[None]:
    """Names what takes time besides training, as long as the bar is there."""
    if self._task in self._bars.task_ids:
      self._bars.update(self._task, description=f"{self._name}: {name}")
    yield

  def note(self, text: str) -> None:
    """A line of the run that a table has no room for."""

  def stop(self) -> None:
    """The run is over; its bar goes."""
    self._bars.remove_task(self._task)
