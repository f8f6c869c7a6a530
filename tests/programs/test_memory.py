"""Memory is asked for before it is taken."""

import pytest

from gippo_jax import envs
from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.programs import estimate, memory
from gippo_jax.programs.probe import probe_gradients
from gippo_jax.programs.program import Program


@pytest.mark.parametrize(
  ("num_seeds", "dimension", "changes", "num_episodes"),
  [
    (10**9, 1, {}, 1),
    (1, 10**9, {}, 1),
    (1, 1, {"actor": {"units": (10**6, 10**6)}}, 1),
    (1, 64, {"num_envs": 2**20, "horizon": 2**11}, 1),
    (1, 1, {}, 10**10),
  ],
  ids=["seeds", "dimension", "units", "window", "episodes"],
)
def test_what_cannot_fit_is_told_with_what_there_is(num_seeds, dimension, changes, num_episodes):
  """Broken by leaving the question out: the machine's memory is taken until it kills the process."""
  config = Config(algorithm="lr", **changes)
  with pytest.raises(UserError, match=r"takes at least \d+\.\d [GT]iB of the .* there are; allowed: less of") as caught:
    estimate.require_run(envs.make("dejong", dimension=dimension), config, num_seeds, num_episodes)
  assert "\n" not in str(caught.value)


def test_what_fits_passes():
  estimate.require_run(envs.make("dejong", dimension=64), Config(algorithm="lr"), 4, 128)


def test_the_estimate_is_no_more_than_the_program_takes():
  """A lower bound, or healthy runs would be refused: the state's bytes are what the compiled program says."""
  env, config = envs.make("dejong", dimension=4), Config(algorithm="lr", num_envs=64)
  program = Program(env, config, 1)
  keys = memory.jax.eval_shape(lambda: memory.jax.random.split(memory.jax.random.key(0), 1))
  states = memory.jax.eval_shape(program.init, keys, program.stack(config, 1))
  assert 10_000 < memory.tree_bytes(states) < 200_000


def test_a_program_too_large_is_refused(monkeypatch):
  monkeypatch.setattr(memory, "available_bytes", lambda: 2**30)
  with pytest.raises(UserError, match=r"a chunk of this run takes at least .* of the 1\.0 GiB there are"):
    memory.require_program({"state": 2**20, "temporary": 2**30})
  memory.require_program({"state": 2**20, "temporary": 2**20})
  memory.require_program({})  # a backend that does not tell


def test_the_gradient_that_is_tried_first_is_asked_for_too():
  """Broken by running the probe unasked: all pairs of 50,000 vehicles took 11 GB, of which 2.5 were a constant."""
  env = envs.make("pace_car", num_lanes=2, vehicles_per_lane=50_000)
  with pytest.raises(UserError, match=r"the gradient of 32 steps of 4 episodes takes at least \d+\.\d [GT]iB of the"):
    probe_gradients(env, Config(horizon=32))
