"""Damaged files, and configurations of all kinds: every one ends in what was written, or in one line."""

import pathlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from gippo_jax import registry
from gippo_jax.config import Config, RunConfig, common_fields
from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError
from gippo_jax.fields import allowed_of, fields_of, group_of
from gippo_jax.parsing import default_config, parse
from gippo_jax.programs.members import make_members
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.api import train_run
from gippo_jax.runs.arrays import named_leaves
from gippo_jax.runs.environments import make_env
from gippo_jax.runs.policy_files import policy_file
from gippo_jax.runs.rows import read_rows, resume_rows
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
    unharmed: that were read as what was written, or as nothing, or were allowed.
    unseen: that were read as something else, from a file that says no more than it seems to.
    wrong: all others, in words.
  """

  cases: int
  told: int
  unharmed: int
  unseen: int
  wrong: list[str]


class Reader(NamedTuple):
  """How the package reads one of a run's files.

  Attributes:
    read: the folder's file, as something to compare.
    is_checked: whether a change must be seen. In rows, from which nothing is ever continued, a digit that changes is
      not.
  """

  read: Callable[[pathlib.Path], object]
  is_checked: bool


def damage_files(folder: pathlib.Path, num_cases: int) -> Counts:
  """Trains a small run, damages its files in turn, and reads each by what the package reads it with.

  Args:
    folder: for the runs.
    num_cases: damaged files.
  """
  config = Config(algorithm="lr", num_envs=4, horizon=2, num_epochs=20, actor=_SMALL, critic=_SMALL)
  whole = folder / "whole"
  train_run({"name": "dejong", "dimension": 2}, config, workdir=whole, progress=False, evaluation_episodes=4)
  readers = _readers(whole)
  expected = {file: reader.read(whole) for file, reader in readers.items()}
  draw = random.Random(0)

  def cases() -> Iterator[tuple[str, Callable[[], str]]]:
    for number in range(num_cases):
      file = list(readers)[number % len(readers)]
      copy = folder / "damaged"
      shutil.rmtree(copy, ignore_errors=True)
      shutil.copytree(whole, copy)
      kind = _damage(copy / file, draw)

      def outcome(file: pathlib.Path = file, copy: pathlib.Path = copy) -> str:
        found = readers[file].read(copy)
        if found is None or found == expected[file]:
          return "unharmed"
        return "wrong" if readers[file].is_checked else "unseen"

      yield f"{file}, {kind}", outcome

  return _count(cases())


def try_configurations(num_cases: int) -> Counts:
  """Gives fields of the configuration all kinds of values, one to three at a time.

  Args:
    num_cases: configurations.
  """
  draw = random.Random(0)
  names = [*_field_names(), "env.name", "env.dimension", "env", "nonsense", "ppo", "ppo.nonsense", "actor.units.x"]

  def cases() -> Iterator[tuple[str, Callable[[], str]]]:
    for _ in range(num_cases):
      given = {draw.choice(names): draw.choice(_VALUES) for _ in range(draw.randint(1, 3))}
      yield repr(given), lambda given=given: _configure(given)

  return _count(cases())


def _count(cases: Iterable[tuple[str, Callable[[], str]]]) -> Counts:
  """Counts the outcomes, of which one line of a `UserError` is one, and any other error is wrong."""
  outcomes, wrong = Counter(), []
  for name, case in cases:
    words = "read as something else"
    try:
      outcome = case()
    except UserError as error:
      outcome, words = ("wrong" if "\n" in str(error) else "told"), "more than one line"
    except Exception as error:
      outcome, words = "wrong", f"{type(error).__name__}: {error}"
    outcomes[outcome] += 1
    if outcome == "wrong":
      wrong.append(f"{name}: {words}")
  return Counts(outcomes.total(), outcomes["told"], outcomes["unharmed"], outcomes["unseen"], wrong)


def _readers(whole: pathlib.Path) -> dict[pathlib.Path, Reader]:
  """Of every file that a run reads back."""
  experiment = open_run(whole).experiment
  members = make_members(make_env("dejong", dimension=2), experiment.config, 1)
  like = members.gather_shapes()
  newest = checkpoints.latest(whole / "checkpoint")
  assert newest is not None

  def read_checkpoint(run: pathlib.Path) -> object:
    return _bytes_of(checkpoints.restore(run / "checkpoint", like, lambda _: None).states)

  def read_config(run: pathlib.Path) -> object:
    Workdir(run).check(experiment)
    return open_run(run).experiment

  def read_resumed_rows(run: pathlib.Path) -> object:
    workdir, tell = Workdir(run), []
    resume_rows(workdir, [1], np.array([20]), 20, experiment.run.log_interval, tell.append)
    if tell:
      raise UserError(tell[0])
    return read_rows(workdir)

  return {
    newest.relative_to(whole): Reader(read_checkpoint, True),
    policy_file(whole, 1).relative_to(whole): Reader(lambda run: _bytes_of(load_policy(run)), True),
    pathlib.Path("config.json"): Reader(read_config, True),
    pathlib.Path("summary.json"): Reader(lambda run: Workdir(run).read_summary(), True),
    pathlib.Path("metrics.jsonl"): Reader(read_resumed_rows, False),
  }


def _bytes_of(tree: PyTree) -> dict[str, bytes]:
  return {name: leaf.array.tobytes() for name, leaf in named_leaves(tree).items()}


def _configure(given: dict[str, object]) -> str:
  """Sets fields, and makes what they configure."""
  values = default_config().to_dict() | {"env": {"name": "dejong", "dimension": 2}}
  for name, value in given.items():
    *groups, last = name.split(".")
    inside = values
    for group in groups:
      if not isinstance(inside.get(group), dict):  # another value took the group's place, or it is a leaf
        inside[group] = {}
      inside = inside[group]
    inside[last] = value
  experiment = parse(values)
  if experiment.env.get("name") == "dejong":
    make_env(**experiment.env)
  return "unharmed"


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
