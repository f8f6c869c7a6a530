"""How a trainer's process talks to the one that started it: one JSON object a line.

The process (`child.py`) gets a `Request`. It writes a `Segment` for every stretch of training, the first one being the
evaluation before any, and a `Finished` after every seed. Plain Python, since two versions of JAX read it.
"""

import json
import time
from typing import NamedTuple

from gippo_jax.plain import Plain


class Request(NamedTuple):
  """What a process is to train.

  Attributes:
    algorithm: of the package.
    environment: name by which `gippo_jax.make_env` makes it.
    episode_length: time limit in steps.
    settings: what differs from the package's own defaults besides the common sizes.
    seeds: one after the other.
    epochs: windows of training.
    checkpoints: evaluations after the first one.
    episodes: of an evaluation.
  """

  algorithm: str
  environment: str
  episode_length: int
  settings: Plain
  seeds: list[int]
  epochs: int
  checkpoints: int
  episodes: int


class Segment(NamedTuple):
  """A stretch of training and the evaluation after it.

  Attributes:
    seed: of the run.
    steps: environment steps so far.
    seconds: of the stretch, without compilation and evaluation.
    cpu_seconds: of the process's cores in it; on one core, what `seconds` would be if nothing else ran there.
    mean_return: undiscounted, of the mean action.
    policy_steps, value_steps: gradient steps so far of each network.
  """

  seed: int
  steps: int
  seconds: float
  cpu_seconds: float
  mean_return: float
  policy_steps: float
  value_steps: float


class Finished(NamedTuple):
  """The end of a seed.

  Attributes:
    seed: of the run.
    compile_seconds: tracing and compilation of the training, of the process's cores; `None` where an earlier seed's
      program was used.
    versions: of the packages.
  """

  seed: int
  compile_seconds: float | None
  versions: dict[str, str]


_EVENTS = {"segment": Segment, "finished": Finished}
Event = Segment | Finished


def line_of(event: Event) -> str:
  """An event as a line, without its end."""
  return json.dumps({"event": type(event).__name__.lower(), **event._asdict()})


def event_of(line: str) -> Event:
  """The event of a line.

  Raises:
    ValueError: when it is none.
  """
  try:
    values = json.loads(line)
    event = _EVENTS[values.pop("event")](**values)
    numbers = [event.seed, *event[1:]] if isinstance(event, Segment) else [event.seed, event.compile_seconds or 0.0]
    if all(isinstance(number, (int, float)) for number in numbers):
      return event
  except (ValueError, KeyError, TypeError, AttributeError):
    pass
  raise ValueError(line)


class Clock(NamedTuple):
  """A moment.

  Attributes:
    wall: s.
    cpu: of this process's cores, s.
  """

  wall: float
  cpu: float

  @classmethod
  def now(cls) -> "Clock":
    """This moment."""
    return cls(time.perf_counter(), time.process_time())

  def since(self, begin: "Clock") -> "Clock":
    """What has passed."""
    return Clock(self.wall - begin.wall, self.cpu - begin.cpu)


def versions_of(*packages: str) -> dict[str, str]:
  """The installed versions of packages."""
  import importlib.metadata

  return {name: importlib.metadata.version(name) for name in packages}
