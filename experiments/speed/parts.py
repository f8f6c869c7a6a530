"""What a part of the benchmark is, and the machine that it ran on."""

import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gippo_jax.experiments.speed.authors import Authors
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import num_cores

# Cores that others may use beside a measurement.
_TOLERATED = 0.25


class Options(NamedTuple):
  """How much is measured.

  Attributes:
    repeats: of every timing.
    peers_python: interpreter of the peers.
    authors: code of GI-PPO's authors; `None` leaves their columns empty.
  """

  repeats: int
  peers_python: str
  authors: Authors | None = None


class Part(NamedTuple):
  """A table of the benchmark.

  Attributes:
    document: the page with its block, `benchmark NAME`.
    columns: titles of its table.
    rows: measures; yields a row of numbers at a time.
    cells: a row in words, in the order of the columns.
    ratios: of what was measured in one run to each other, by what they are of; other machines have them too.
    require: raises `UserError` when something is missing, before anything is measured.
  """

  document: str
  columns: Sequence[str]
  rows: Callable[[Options], Iterator[Plain]]
  cells: Callable[[Plain], Sequence[str]]
  ratios: Callable[[Sequence[Plain]], dict[str, float]]
  require: Callable[[Options], None] = lambda options: None


class Measured(NamedTuple):
  """A part that was measured.

  Attributes:
    rows: its numbers; `other_cores` in each is what ran beside it.
    machine: in words, with the versions.
    made: day, as `2026-01-31`.
    repeats: of every timing.
  """

  rows: list[Plain]
  machine: str
  made: str
  repeats: int


class Watch:
  """What else the machine does from now on.

  The load average knows nothing of who asks for the cores; the kernel's count of busy time, less this process's and its
  children's, does.
  """

  def __init__(self):
    self._begin = (time.monotonic(), _busy_seconds(), _own_seconds())

  def other_cores(self) -> float | None:
    """Cores that other processes have used since, in the mean; `None` where the system does not tell."""
    begin, busy, own = self._begin
    now = _busy_seconds()
    if busy is None or now is None:
      return None
    return max(0.0, (now - busy) - (_own_seconds() - own)) / max(1e-3, time.monotonic() - begin)

  def is_busy(self) -> bool:
    """Whether others took a part of the machine that a timing shows."""
    others = self.other_cores()
    return os.getloadavg()[0] > num_cores() + 1 if others is None else others > _TOLERATED


def _busy_seconds() -> float | None:
  """Seconds of all cores that were not idle, since the machine began."""
  try:
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
  except OSError:
    return None
  user, nice, system, _, _, interrupts, soft_interrupts = (float(word) for word in words[1:8])
  return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
  """Seconds of this process and of its children that have ended."""
  return sum(os.times()[:4])


def processor() -> str:
  """The processor's name, or its architecture where the system does not tell."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
  return names[0] if names else platform.machine()


def describe_machine() -> str:
  """The machine and the versions, in words."""
  import jax

  from gippo_jax.runs.provenance import describe_device

  return f"{processor()}, {num_cores()} cores, {describe_device()}, jax {jax.__version__}"
