"""What members, environments, steps, vehicles, devices cost: `python -m experiments.measurements.scaling --docs=docs`.

Every row is one compiled chunk of GI-PPO, timed after a first one: milliseconds for an epoch of a member, and the
memory of the program. Nothing else should run on the machine.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import flags

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import functions, physics, traffic
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.experiments.tables.text import number
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import configure_jax
from gippo_jax.runs.files import write_json

_OUT = flags.DEFINE_string("out", None, "JSON file to write.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose scaling.json and scaling.md are renewed.")

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


def measure(point: Point) -> Plain:
  """Compiles a point's program and times its second call.

  Returns:
    The point's numbers, milliseconds, environment steps per second of all members, and bytes of the program.
  """
  import jax

  from gippo_jax import envs
  from gippo_jax.programs.members import make_members
  from gippo_jax.programs.sharded import ShardedMembers

  config = point.experiment.config
  env = envs.make(**point.experiment.env)
  if point.by_environment:
    members = ShardedMembers(env, config, point.num_members, point.num_epochs)
  else:
    devices = jax.local_devices()[: point.num_devices]
    members = make_members(env, config, point.num_members, point.num_epochs, devices=devices)
  states = members.init(list(range(1, point.num_members + 1)))
  members.compile(states)
  seconds = 0.0
  for _ in range(2):
    begin = time.monotonic()
    states, pending = members.launch(states, point.num_epochs)
    members.fetch(pending)
    seconds = time.monotonic() - begin
  epochs = point.num_epochs * point.num_members
  return {
    "what": point.what,
    "num_members": point.num_members,
    "num_envs": config.num_envs,
    "horizon": config.horizon,
    "num_devices": min(point.num_devices, point.num_members) if not point.by_environment else point.num_devices,
    "milliseconds": 1e3 * seconds / epochs,
    "steps_per_second": epochs * config.num_envs * config.horizon / seconds,
    "bytes": sum(members.program_bytes.values()),
  }


def row_of(entry: Plain) -> list[str]:
  """A measurement in words, in the order of the table's columns."""
  return [
    entry["what"],
    *(str(entry[name]) for name in ("num_members", "num_envs", "horizon", "num_devices")),
    number(entry["milliseconds"]),
    f"{entry['steps_per_second']:,.0f}",
    f"{entry['bytes'] / 2**20:.1f}",
  ]


def main(arguments: Sequence[str]) -> int:
  """Measures all points, prints them, writes the files."""
  if len(arguments) > 1:
    raise UserError(f"{arguments[1]!r} is no flag; allowed: --out, --docs")
  configure_jax(64)
  import jax

  from gippo_jax.runs.runner import describe_device

  entries = []
  for point in points(len(jax.local_devices()), jax.default_backend() != "cpu"):
    entries.append(measure(point))
    print(" | ".join(row_of(entries[-1])), flush=True)
  result = {"device": describe_device(), "jax": jax.__version__, "rows": entries}
  if _OUT.value:
    write_json(pathlib.Path(_OUT.value), result)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    write_json(docs / "scaling.json", result)
    table = markdown_table(_COLUMNS, map(row_of, entries))
    replace_block(docs / "scaling.md", "scaling", f"{table}\n{result['device']}, jax {result['jax']}.\n")
  return 0


if __name__ == "__main__":
  console(main)
