"""What members, environments, steps, vehicles, devices cost.

Every row is one compiled chunk of GI-PPO, timed after a first one: milliseconds for an epoch of a member, and the
memory of the program.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gippo_jax.experiments.configs import functions, physics, traffic
from gippo_jax.experiments.speed.chunks import time_chunk
from gippo_jax.experiments.speed.parts import Options, Part
from gippo_jax.experiments.tables.text import number
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain

_COLUMNS = (
  "what",
  "members",
  "environments",
  "horizon",
  "devices",
  "epoch of a member (ms)",
  "steps/s",
  "memory (MiB)",
)


class Point(NamedTuple):
  """One measurement.

  Attributes:
    what: the problem, and what is varied.
    experiment: hyper-parameters.
    num_members: members side by side.
    num_devices: over which they are spread.
    by_environment: whether the devices share each member's environments instead.
    num_epochs: that are timed together.
  """

  what: str
  experiment: Experiment
  num_members: int
  num_devices: int
  by_environment: bool
  num_epochs: int


def points(num_devices: int, accelerator: bool) -> Iterator[Point]:
  """All measurements, on up to `num_devices` devices; an accelerator also trains 256 members in one batch."""
  dejong = parse(functions.get_config("dejong1"))
  for num_members in (1, 4, 16, 64, 256) if accelerator else (1, 4, 16, 64):
    yield Point("De Jong-1, seeds", dejong, num_members, num_devices, False, 200)
  for num_envs in (64, 256, 1024, 4096):
    yield Point("cart-pole, environments", _cartpole(num_envs, 32), 1, 1, False, 4)
  for horizon in (8, 16, 64, 128):
    yield Point("cart-pole, horizon", _cartpole(64, horizon), 1, 1, False, 8)
  for vehicles_per_lane in (1, 4, 16, 64):
    road = parse(traffic.get_config(f"pace_car_4x{vehicles_per_lane}"))
    yield Point(f"{4 * vehicles_per_lane} vehicles on 4 lanes", road, 1, 1, False, 4)
  if num_devices > 1:
    yield Point("De Jong-1, seeds on one device", dejong, 16, 1, False, 200)
    yield Point("cart-pole, environments over devices", _cartpole(1024, 32), 1, num_devices, True, 4)


def _cartpole(num_envs: int, horizon: int) -> Experiment:
  config = physics.get_config("cartpole")
  config.num_envs, config.horizon = num_envs, horizon
  config.ppo.minibatch_size = num_envs * horizon
  return parse(config)


def measure(point: Point, repeats: int = 1) -> Plain:
  """Compiles a point's program and times it after a first call.

  Returns:
    The point's numbers, milliseconds, environment steps per second of all members, and bytes of the program.
  """
  config = point.experiment.config
  chunk = time_chunk(
    point.experiment, point.num_epochs, point.num_members, point.num_devices, point.by_environment, repeats
  )
  return {
    "what": point.what,
    "num_members": point.num_members,
    "num_envs": config.num_envs,
    "horizon": config.horizon,
    "num_devices": min(point.num_devices, point.num_members) if not point.by_environment else point.num_devices,
    "milliseconds": 1e3 * chunk.seconds,
    "steps_per_second": config.num_envs * config.horizon / chunk.seconds,
    "bytes": chunk.num_bytes,
  }


def cells(entry: Plain) -> list[str]:
  """A measurement in words, in the order of the table's columns."""
  return [
    entry["what"],
    *(str(entry[name]) for name in ("num_members", "num_envs", "horizon", "num_devices")),
    number(entry["milliseconds"]),
    f"{entry['steps_per_second']:,.0f}",
    f"{entry['bytes'] / 2**20:.1f}",
  ]


def rows(options: Options) -> Iterator[Plain]:
  """Measures all points."""
  import jax

  for point in points(len(jax.local_devices()), jax.default_backend() != "cpu"):
    yield measure(point, options.repeats)


def ratios(rows: Sequence[Plain]) -> dict[str, float]:
  """Times over that of the first row with the same problem."""
  found, first = {}, {}
  for row in rows:
    problem = row["what"].partition(",")[0]
    start = first.setdefault(problem, row["milliseconds"])
    sizes = "x".join(str(row[name]) for name in ("num_members", "num_envs", "horizon", "num_devices"))
    found[f"{row['what']} {sizes}"] = row["milliseconds"] / start
  return found


PART = Part("scaling.md", _COLUMNS, rows, cells, ratios)
