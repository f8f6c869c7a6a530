"""Progress of a run: a rich bar on a terminal, plain lines elsewhere, nothing when asked for quiet."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from rich import progress as rich_progress
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column


class Progress(Protocol):
  """Receives the state of a run after every chunk."""

  def note(self, text: str) -> None:
    """Called with a line to show, at any time."""
    ...

  def phase(self, name: str) -> AbstractContextManager[None]:
    """Entered while something else than training takes time, outside of `start` and `stop`; says what it is."""
    ...

  def start(self, epoch: int, num_epochs: int) -> None:
    """Called once, before the first chunk."""
    ...

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """Called after every chunk with epochs done and the numbers to show."""
    ...

  def stop(self) -> None:
    """Called once, however the run ended."""
    ...


class Phases:
  """Names what takes time besides training, and adds up how long each took.

  Args:
    progress: told of each phase.

  Attributes:
    seconds: by phase.
  """

  def __init__(self, progress: Progress):
    self._progress = progress
    self._began = time.monotonic()
    self.seconds: dict[str, float] = {}

  def elapsed(self) -> float:
    """Seconds since the first phase could begin."""
    return time.monotonic() - self._began

  @contextlib.contextmanager
  def __call__(self, name: str) -> Iterator[None]:
    """Entered for the time of a phase."""
    begin = time.monotonic()
    try:
      with self._progress.phase(name):
        yield
    finally:
      self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin


class NoProgress:
  """Shows nothing."""

  def note(self, text: str) -> None:
    """Does nothing."""

  def phase(self, name: str) -> AbstractContextManager[None]:
    """Does nothing."""
    return contextlib.nullcontext()

  def start(self, epoch: int, num_epochs: int) -> None:
    """Does nothing."""

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """Does nothing."""

  def stop(self) -> None:
    """Does nothing."""


class Steady:
  """Shows on another one what can be shown: where its output is gone, or its disk full, the run goes on unseen.

  Args:
    shown: the other one.
  """

  def __init__(self, shown: Progress):
    self._shown = shown

  def note(self, text: str) -> None:
    """As the other one."""
    with contextlib.suppress(OSError):
      self._shown.note(text)

  def phase(self, name: str) -> AbstractContextManager[None]:
    """As the other one."""
    return self._shown.phase(name)

  def start(self, epoch: int, num_epochs: int) -> None:
    """As the other one."""
    with contextlib.suppress(OSError):
      self._shown.start(epoch, num_epochs)

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """As the other one."""
    with contextlib.suppress(OSError):
      self._shown.update(epoch, fields)

  def stop(self) -> None:
    """As the other one."""
    with contextlib.suppress(OSError):
      self._shown.stop()


class PlainProgress:
  """A line at most every `seconds`, for logs.

  Args:
    seconds: least time between two lines.
  """

  def __init__(self, seconds: float = 2.0):
    self._seconds = seconds

  def note(self, text: str) -> None:
    """Prints the line."""
    print(text, flush=True)

  @contextlib.contextmanager
  def phase(self, name: str) -> Iterator[None]:
    """Prints what has begun, and how long it took where that was more than a second."""
    print(f"{name} ...", flush=True)
    begin = time.monotonic()
    yield
    seconds = time.monotonic() - begin
    if seconds >= 1.0:
      print(f"{name}: {seconds:.1f} s", flush=True)

  def start(self, epoch: int, num_epochs: int) -> None:
    """Remembers where the run starts."""
    self._first, self._num_epochs = epoch, num_epochs
    self._begin, self._last = time.monotonic(), -float("inf")

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """Prints a line if the last one is old enough or the run is done."""
    now = time.monotonic()
    if now - self._last < self._seconds and epoch < self._num_epochs:
      return
    self._last = now
    left = (now - self._begin) / max(epoch - self._first, 1) * (self._num_epochs - epoch)
    print(f"epoch {epoch}/{self._num_epochs}  {format_fields(fields)}  left {left:.0f} s", flush=True)

  def stop(self) -> None:
    """Nothing to close."""


class BarProgress:
  """A rich progress bar with epoch and time left; the numbers stand on a line below, cut to the terminal's width.

  Args:
    console: where to draw; standard output when `None`.
  """

  def __init__(self, console: Console | None = None):
    self._console = console or Console()

  def note(self, text: str) -> None:
    """Prints the line."""
    self._console.print(text, highlight=False, markup=False)

  @contextlib.contextmanager
  def phase(self, name: str) -> Iterator[None]:
    """Shows a spinner, with the seconds."""
    columns = (
      rich_progress.SpinnerColumn(),
      rich_progress.TextColumn("{task.description}"),
      rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=self._console, transient=True) as shown:
      shown.add_task(name, total=None)
      yield

  def start(self, epoch: int, num_epochs: int) -> None:
    """Draws the bar."""
    self._bar = rich_progress.Progress(
      rich_progress.TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
      rich_progress.BarColumn(bar_width=None),
      rich_progress.TextColumn("left"),
      rich_progress.TimeRemainingColumn(),
      console=self._console,
      expand=True,
    )
    self._numbers = rich_progress.Progress(
      rich_progress.TextColumn("{task.fields[shown]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
      console=self._console,
      expand=True,
    )
    self._task = self._bar.add_task("train", total=num_epochs, completed=epoch)
    self._line = self._numbers.add_task("numbers", shown="")
    self._live = Live(Group(self._bar, self._numbers), console=self._console)
    self._live.start()

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """Moves the bar."""
    self._bar.update(self._task, completed=epoch)
    self._numbers.update(self._line, shown=format_fields(fields))

  def stop(self) -> None:
    """Leaves the bar as it is."""
    self._live.stop()


def format_fields(fields: dict[str, float]) -> str:
  """The numbers of a chunk as one line."""
  return "  ".join(f"{name} {format_number(value)}" for name, value in fields.items())


def format_number(value: float) -> str:
  """Four digits; thousands of steps per second as whole numbers; `none yet` where there is no number."""
  value = float(value)
  if math.isnan(value):
    return "none yet"
  return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def default_progress() -> Progress:
  """A bar on a terminal, else plain lines."""
  return BarProgress() if sys.stdout.isatty() else PlainProgress()
