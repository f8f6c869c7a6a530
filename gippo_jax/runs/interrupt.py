"""Ctrl-C and termination: a run ends in peace."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Protocol, Self

# A supervisor and a terminal often send the same signal twice at once; a second wish comes later than that.
_SECONDS_TO_A_SECOND_WISH = 3.0
# A terminal that is closed says SIGHUP; SLURM says one of the last two before a job's time is up.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def end_at_once() -> None:
  """Makes Ctrl-C end the process with 130 and without a word, until someone listens to it.

  A KeyboardInterrupt will not do while modules are read and programs compiled: inside the start of an extension it is
  a crash or an ImportError, and inside a callback of the garbage collector it is printed and forgotten.
  """
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # nohup
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))


@contextlib.contextmanager
def raised() -> Iterator[None]:
  """Makes Ctrl-C a KeyboardInterrupt while entered, for what has something to say or to write when it comes."""
  previous = signal.getsignal(signal.SIGINT)
  if previous != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, previous)


class Wish(Protocol):
  """What a training asks between its chunks."""

  @property
  def requested(self) -> bool:
    """Whether it should end in peace."""
    ...


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
