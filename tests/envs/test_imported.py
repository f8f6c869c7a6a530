"""Environments by import path."""

import dataclasses

import pytest

from gippo_jax import envs
from gippo_jax.envs.imported import describe
from gippo_jax.envs.physics import Cartpole


def test_an_import_path_makes_the_environment_with_its_parameters():
  env = envs.make("gippo_jax.envs.physics.cartpole:Cartpole", force=3.0, episode_length=7)
  assert (env.force, env.episode_length) == (3.0, 7)


def test_an_environment_describes_itself():
  described = describe(Cartpole(force=3.0))
  assert described["name"] == "gippo_jax.envs.physics.cartpole:Cartpole"
  assert envs.make(**described) == Cartpole(force=3.0)


@dataclasses.dataclass(frozen=True)
class Holds:
  """A field that JSON has no word for is left out."""

  thing: object = None
  size: int = 3


def test_what_cannot_be_written_is_left_out():
  assert describe(Holds(thing=object())) == {"name": "tests.envs.test_imported:Holds", "size": 3}


@pytest.mark.parametrize(
  ("name", "parameters", "message"),
  [
    ("tests.nosuch:X", {}, r"there is no module 'tests.nosuch', of 'tests.nosuch:X'"),
    ("tests.commands:Nosuch", {}, r"module 'tests.commands' has no 'Nosuch'"),
    ("tests.commands:CONFIG", {}, r"'tests.commands:CONFIG' is a \w*Path; allowed: a class or function"),
    (
      "gippo_jax.envs.physics.cartpole:Cartpole",
      {"wings": 2},
      r"env.wings: .* has no such parameter; known: cart_mass",
    ),
    ("gippo_jax.envs.functions:FunctionOptimization", {"name_": 1}, r"env.name_: .* has no such parameter"),
    ("gippo_jax.envs.physics.cartpole:Cartpole", {"force": -1.0}, r"env.force: -1.0 is not allowed"),
  ],
)
def test_what_is_wrong_with_a_path_is_told_in_one_line(name, parameters, message):
  with pytest.raises(ValueError, match=message) as caught:
    envs.make(name, **parameters)
  assert "\n" not in str(caught.value)


def test_descriptions_are_one_line_each():
  lines = envs.descriptions()
  assert set(envs.known()) < set(lines)
  assert all(text and "\n" not in text for text in lines.values())
