"""Ctrl-C and termination: a run ends in peace."""

import signal
from types import FrameType
from typing import Self


class Interrupt:
  """Notes the signals while it is entered, so that a chunk ends in peace; a second one stops at once.

  Attributes:
    requested: whether a signal came.
  """

  def __init__(self) -> None:
    self.requested = False
    self._previous: dict[int, signal._HANDLER] = {}

  def __enter__(self) -> Self:
    for number in (signal.SIGINT, signal.SIGTERM):
      try:
        self._previous[number] = signal.signal(number, self._note)
      except ValueError:  # not in the main thread, where Python takes no signals: a notebook's or a server's worker
        break
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _note(self, number: int, frame: FrameType | None) -> None:
    del frame
    self.requested = True
    signal.signal(number, self._previous[number])
