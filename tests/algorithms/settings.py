"""Small settings in which one algorithm is compared with another, number by number."""

import functools

import jax
import numpy as np

from gippo_jax import envs
from gippo_jax.algorithms import Draws
from gippo_jax.config import traced
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from tests import configs

SMALL = {
  "num_envs": 4,
  "horizon": 6,
  "discount": 0.9,
  "gae_lambda": 0.8,
  "clip_gradients": False,
  "actor": {"units": (8,)},
  "critic": {"units": (8,), "num_iterations": 1, "num_minibatches": 1},
}
# Episodes of five steps in windows of six: a window holds ends of episodes, and steps behind them.
PROBE = envs.make("point_mass", dimension=2, episode_length=5)


def config_of(algorithm, **options):
  return traced(configs.config_of(algorithm, **(SMALL | options)))


@functools.cache
def _start(probe, num_envs):
  config = config_of("shac", num_envs=num_envs)
  return jax.jit(make_epochs(probe, config).init)(jax.random.key(3), config)


def setting(config, probe=PROBE):
  """Setup, state with a critic that is not that of the start, and draws; the algorithm's own state is SHAC's."""
  return make_setup(probe, config), *_moved(config, probe, _start(probe, config.num_envs))


def _moved(config, probe, state):
  moved = jax.tree.map(lambda leaf: leaf + 0.2 * np.random.default_rng(0).normal(size=leaf.shape), state.critic)
  noise = jax.random.normal(jax.random.key(4), (config.horizon, config.num_envs, probe.action_size))
  return state.replace(target_critic=moved), Draws(noise, jax.random.key(5))


def program(config, probe=PROBE):
  """A function from hyper-parameters of one structure to state and metrics after one epoch of `setting`."""
  epochs = make_epochs(probe, config)

  @jax.jit
  def run(config):
    state, draws = _moved(config, probe, epochs.init(jax.random.key(3), config))
    return epochs.update(state, config, draws)

  return run


def epoch(algorithm, **options):
  """State and metrics after one epoch."""
  config = config_of(algorithm, **options)
  return program(config)(config)


@functools.cache
def shac_epoch():
  """SHAC's, to compare with."""
  return epoch("shac", shac={"learning_rate": 0.01})


def assert_same_epoch(found, expected, rtol=1e-9):
  """The same step of actor and critic, from a gradient of the same length."""
  for name in ("actor", "critic", "target_critic", "observation_statistics", "value_statistics"):
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-12),
      getattr(found[0], name),
      getattr(expected[0], name),
    )
  assert expected[1]["actor_gradient_norm"] > 1e-3
  np.testing.assert_allclose(found[1]["actor_gradient_norm"], expected[1]["actor_gradient_norm"], rtol=rtol)
  np.testing.assert_allclose(found[1]["actor_loss"], expected[1]["actor_loss"], rtol=rtol)
