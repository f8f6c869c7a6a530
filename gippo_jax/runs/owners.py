"""Who works at what: the names of processes, their signs of life, and how long one has been without them."""

import os
import pathlib
import re
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

# A network file system may show a machine what another one wrote a minute later; who is silent for longer is gone.
LEASE_SECONDS = 120.0
_SECONDS_BETWEEN_BEATS = 15.0


class Owner(NamedTuple):
  """A process that has something, among all machines and times.

  Attributes:
    host: machine.
    pid: process number.
    job: number of the SLURM job that it belongs to; empty without.
    since: nanoseconds of that machine's clock; tells apart what one process has at different times.
  """

  host: str
  pid: int
  job: str
  since: int

  @classmethod
  def me(cls) -> Self:
    """This process, now."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    job = re.sub(r"\W", "-", os.environ.get("SLURM_JOB_ID", ""))
    return cls(host, os.getpid(), job, time.time_ns())

  @classmethod
  def read(cls, text: str) -> Self | None:
    """The owner that a text names; `None` for any other text."""
    match = re.fullmatch(r"([\w.-]+)@(0|[1-9]\d{0,17})@([\w-]*)@(0|[1-9]\d{0,19})", text, re.ASCII)
    return cls(match[1], int(match[2]), match[3], int(match[4])) if match else None

  def __str__(self) -> str:
    """The text that `read` understands; it may be part of a file's name."""
    return f"{self.host}@{self.pid}@{self.job}@{self.since}"

  def describe(self) -> str:
    """In words."""
    job = f" (job {self.job})" if self.job else ""
    return f"process {self.pid} on {self.host}{job}"

  @property
  def is_of_this_machine(self) -> bool:
    """Whether this machine can tell if it lives."""
    return self.host == Owner.me().host


def is_alive(pid: int) -> bool:
  """Whether this machine has such a process, and not only what is left of it until its parent has taken note."""
  try:
    os.kill(pid, 0)
  except (ProcessLookupError, OverflowError):
    return False
  except PermissionError:
    return True
  try:
    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
  except OSError:  # not on Linux
    return True
  return state not in ("Z", "X")


class Sightings:
  """How long signs of life have been seen unchanged, by this process's clock: those of other machines may differ.

  Args:
    clock: seconds.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic):
    self._clock = clock
    self._seen: dict[str, tuple[object, float]] = {}

  def seconds_unchanged(self, name: str, sign: object) -> float:
    """Time since this sign was first seen in a row.

    Args:
      name: whose it is.
      sign: changes while it lives.
    """
    now = self._clock()
    before = self._seen.get(name)
    if before is None or before[0] != sign:
      self._seen[name] = (sign, now)
      return 0.0
    return now - before[1]


class Heartbeat:
  """A thread that gives signs of life while it is entered.

  Args:
    beat: gives one; false when there is nothing left to give it for, which ends the thread.
    seconds: between two.
  """

  def __init__(self, beat: Callable[[], bool], seconds: float = _SECONDS_BETWEEN_BEATS):
    self._beat, self._seconds = beat, seconds
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)

  def __enter__(self) -> Self:
    self._thread.start()
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
  ) -> None:
    self._ended.set()
    self._thread.join()

  def _run(self) -> None:
    while self._beat() and not self._ended.wait(self._seconds):
      pass
