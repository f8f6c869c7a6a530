"""Ctrl-C and termination: a run ends in peace."""

import os
import signal
import time
from types import FrameType
from typing import Self

# A supervisor and a terminal often send the same signal twice at once; a second wish comes later than that.
_SECONDS_TO_A_SECOND_WISH = 3.0
# A terminal that is closed says SIGHUP.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
  """Notes the signals while it is entered, so that a chunk ends in peace; one that comes later again stops at once.

  Attributes:
    requested: whether a signal came.
  """

  def __init__(self) -> None:
    self.requested = False
    self._first = 0.0
    self._previous: dict[int, signal._HANDLER] = {}

  def __enter__(self) -> Self:
    for number in _SIGNALS:
      if signal.getsignal(number) == signal.SIG_IGN:  # nohup
        continue
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
    now = time.monotonic()
    if not self.requested:
      self.requested, self._first = True, now
    elif now - self._first > _SECONDS_TO_A_SECOND_WISH:
      signal.signal(number, self._previous[number])
      os.kill(os.getpid(), number)
