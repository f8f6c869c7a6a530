"""Damaged files, and configurations of all kinds: every one ends in what was written, or in one line."""

import pathlib
import random
import shutil
from collections.abc import Callable
from typing import NamedTuple

from gippo_jax import registry
from gippo_jax.config import Config, RunConfig, common_fields
from gippo_jax.errors import UserError
from gippo_jax.fields import allowed_of, fields_of, group_of
from gippo_jax.parsing import default_config, parse, set_field
from gippo_jax.programs.members import make_members
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.api import train_run
from gippo_jax.runs.arrays import named_leaves
from gippo_jax.runs.environments import make_env
from gippo_jax.runs.policy_files import policy_file
from gippo_jax.runs.rows import read_lines
from gippo_jax.runs.stored import load_policy, open_run
from gippo_jax.runs.workdir import Workdir

_SMALL = {"units": (4,)}
_VALUES = (
  *(None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, 10**400, -(10**400), 0.5, 1e-60, 1e-310, 1e39, 1e300, -0.0),
  *(float("nan"), float("inf"), -float("inf"), "", "x", "gippo", "../..", "\0", "1e-3", "True", "(1,)", b"1", [], [1]),
  *(
    [0],
    (64, 64),
    ("a",),
    {},
    {"units": (1,)},
    {1: 2},
    object(),
    int,
    1j,
    [[1]],
    range(3),
    {1, 2},
    "9" * 5000,
    "[" * 5000,
  ),
)


class Counts(NamedTuple):
  """What became of the cases.

  Attributes:
    cases: how many.
    told: that ended in one line.
    unharmed: that were read as what was written, or were allowed.
    wrong: all others, in words.
  """

  cases: int
  told: int
  unharmed: int
  wrong: list[str]


def damage_files(folder: pathlib.Path, num_cases: int) -> Counts:
  """Trains a small run, damages its files in turn, and reads each by what the package reads it with.

  Args:
    folder: for the runs.
    num_cases: damaged files.
  """
  config = Config(algorithm="lr", num_envs=4, horizon=2, num_epochs=20, actor=_SMALL, critic=_SMALL)
  whole = folder / "whole"
  train_run({"name": "dejong", "dimension": 2}, config, workdir=whole, progress=False, evaluation_episodes=4)
  experiment = open_run(whole).experiment
  members = make_members(make_env("dejong", dimension=2), experiment.config, 1)
  like = members.gather_shapes()
  newest = checkpoints.latest(whole / "checkpoint")
  assert newest is not None

  def read_checkpoint(run: pathlib.Path) -> object:
    states = checkpoints.restore(run / "checkpoint", like, lambda _: None).states
    return {name: leaf.array.tobytes() for name, leaf in named_leaves(states).items()}

  readers: dict[pathlib.Path, Callable[[pathlib.Path], object]] = {
    newest.relative_to(whole): read_checkpoint,
    policy_file(whole, 1).relative_to(whole): lambda run: str(load_policy(run)),
    pathlib.Path("config.json"): lambda run: Workdir(run).check(experiment),
    pathlib.Path("summary.json"): lambda run: Workdir(run).read_summary() and None,
    pathlib.Path("metrics.jsonl"): lambda run: read_lines(Workdir(run)) and None,
  }
  expected = {file: read(whole) for file, read in readers.items()}
  draw = random.Random(0)
  told = unharmed = 0
  wrong = []
  for case in range(num_cases):
    file = list(readers)[case % len(readers)]
    copy = folder / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    kind = _damage(copy / file, draw)
    try:
      if readers[file](copy) == expected[file]:
        unharmed += 1
      else:
        wrong.append(f"{file}, {kind}: read as something else")
    except UserError as error:
      told += 1
      if "\n" in str(error):
        wrong.append(f"{file}, {kind}: more than one line")
    except Exception as error:
      wrong.append(f"{file}, {kind}: {type(error).__name__}: {error}")
  return Counts(num_cases, told, unharmed, wrong)


def try_configurations(num_cases: int) -> Counts:
  """Gives fields of the configuration all kinds of values, one to three at a time.

  Args:
    num_cases: configurations.
  """
  draw = random.Random(0)
  names = [*_field_names(), "env.name", "env.dimension", "env", "nonsense", "ppo", "ppo.nonsense", "actor.units.x"]
  told = unharmed = 0
  wrong = []
  for _ in range(num_cases):
    values = default_config().to_dict() | {"env": {"name": "dejong", "dimension": 2}}
    given = {draw.choice(names): draw.choice(_VALUES) for _ in range(draw.randint(1, 3))}
    try:
      for name, value in given.items():
        set_field(values, name, value) if "." not in name or _is_group(values, name) else None
      experiment = parse(values)
      make_env(**experiment.env) if experiment.env.get("name") == "dejong" else None
      unharmed += 1
    except UserError as error:
      told += 1
      if "\n" in str(error):
        wrong.append(f"{given}: more than one line")
    except Exception as error:
      wrong.append(f"{given}: {type(error).__name__}: {error}")
  return Counts(num_cases, told, unharmed, wrong)


def _is_group(values: dict, name: str) -> bool:
  return isinstance(values.get(name.split(".")[0]), dict) and name.count(".") == 1


def _field_names() -> list[str]:
  groups = {name: group_of(field) for name, field in common_fields().items() if allowed_of(field) is None}
  groups |= registry.groups()
  inner = [f"{group}.{name}" for group, cls in groups.items() for name in fields_of(cls)]
  return [*(name for name in common_fields() if name not in groups), *fields_of(RunConfig), *inner]


def _damage(file: pathlib.Path, draw: random.Random) -> str:
  content = bytearray(file.read_bytes())
  place = draw.randrange(len(content))
  kind = draw.choice(["bit", "byte", "cut", "insert", "zeros", "empty", "garbage", "missing", "folder"])
  if kind == "bit":
    content[place] ^= 1 << draw.randrange(8)
  elif kind == "byte":
    content[place] = draw.randrange(256)
  elif kind == "cut":
    del content[place:]
  elif kind == "insert":
    content[place:place] = draw.randbytes(draw.randint(1, 9))
  elif kind == "zeros":
    content[place : place + 64] = bytes(min(64, len(content) - place))
  elif kind == "empty":
    content.clear()
  elif kind == "garbage":
    content[:] = draw.randbytes(200)
  file.unlink()
  if kind == "folder":
    file.mkdir()
  elif kind != "missing":
    file.write_bytes(content)
  return kind
