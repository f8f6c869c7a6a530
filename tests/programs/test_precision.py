"""Products are computed at the precision of the configuration, in every part of an epoch and of an evaluation."""

import jax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from gippo_jax import envs
from gippo_jax.config import Config, traced
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.programs.evaluation import begin_episodes
from gippo_jax.programs.program import continue_member


def _precisions(jaxpr: Jaxpr) -> set:
  """Of all products, those in loops and branches included."""
  found = set()
  for equation in jaxpr.eqns:
    if equation.primitive.name == "dot_general":
      found.add(equation.params["precision"])
    for value in equation.params.values():
      for inner in value if isinstance(value, tuple | list) else (value,):
        if isinstance(inner, ClosedJaxpr):
          found |= _precisions(inner.jaxpr)
        elif isinstance(inner, Jaxpr):
          found |= _precisions(inner)
  return found


@pytest.mark.parametrize(
  ("precision", "expected"),
  [("highest", jax.lax.Precision.HIGHEST), ("tf32", jax.lax.Precision.HIGH), ("bf16", jax.lax.Precision.DEFAULT)],
)
def test_every_product_has_the_precision_of_the_configuration(precision, expected):
  env = envs.make("cartpole")
  config = Config(algorithm="gippo", num_envs=4, horizon=2, matmul_precision=precision, ppo={"minibatch_size": 4})
  epochs, real = make_epochs(env, config), traced(config)
  state = jax.eval_shape(epochs.init, jax.random.key(0), real)
  assert _precisions(jax.make_jaxpr(epochs.update)(state, real).jaxpr) == {(expected, expected)}

  episodes = jax.eval_shape(lambda key: begin_episodes(env, key, 2), jax.random.key(0))
  playing = jax.make_jaxpr(lambda *arguments: continue_member(env, *arguments))(state.policy, real, episodes)
  assert _precisions(playing.jaxpr) == {(expected, expected)}
