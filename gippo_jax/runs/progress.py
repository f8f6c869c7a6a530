"""Progress of a run: a rich bar on a terminal, plain lines elsewhere, nothing when asked for quiet."""

import sys
import time
from typing import Any, Protocol


class Progress(Protocol):
  """Receives the state of a run after every chunk."""

  def note(self, text: str) -> None:
    """Called with a line to show, outside of `start` and `stop`."""
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


class NoProgress:
  """Shows nothing."""

  def note(self, text: str) -> None:
    """Does nothing."""

  def start(self, epoch: int, num_epochs: int) -> None:
    """Does nothing."""

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """Does nothing."""

  def stop(self) -> None:
    """Does nothing."""


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
    shown = "  ".join(f"{name} {format_number(value)}" for name, value in fields.items())
    print(f"epoch {epoch}/{self._num_epochs}  {shown}  left {left:.0f} s", flush=True)

  def stop(self) -> None:
    """Nothing to close."""


class BarProgress:
  """A rich progress bar with epoch, return, alpha, steps per second and the time left."""

  def note(self, text: str) -> None:
    """Prints the line."""
    print(text, flush=True)

  def start(self, epoch: int, num_epochs: int) -> None:
    """Draws the bar."""
    from rich import progress

    self._bar = progress.Progress(
      progress.TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
      progress.BarColumn(),
      progress.TextColumn("{task.fields[shown]}"),
      progress.TextColumn("left"),
      progress.TimeRemainingColumn(),
    )
    self._task = self._bar.add_task("train", total=num_epochs, completed=epoch, shown="")
    self._bar.start()

  def update(self, epoch: int, fields: dict[str, float]) -> None:
    """Moves the bar."""
    shown = "  ".join(f"{name} {format_number(value)}" for name, value in fields.items())
    self._bar.update(self._task, completed=epoch, shown=shown)

  def stop(self) -> None:
    """Leaves the bar as it is."""
    self._bar.stop()


def format_number(value: Any) -> str:
  """Four digits; thousands of steps per second as whole numbers."""
  value = float(value)
  return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def default_progress() -> Progress:
  """A bar on a terminal, else plain lines."""
  return BarProgress() if sys.stdout.isatty() else PlainProgress()
