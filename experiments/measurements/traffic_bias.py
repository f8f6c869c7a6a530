"""Bias of the pace car's steering gradient, hard and soft: `python -m experiments.measurements.traffic_bias`.

For many states of scenario b, the slope of the expected return of 32 steps with respect to the mean of a shift of all
steering actions; the shift is normal with standard deviation 0.2. The reference is the score-function integral on the
hard environment, which sees lane changes and failures; beside it stands the mean of the analytic gradient of the same
windows, from the hard environment and from soft ones of several widths. The shift is one number, so that quantiles of
the normal distribution replace random draws.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from gippo_jax.cli.console import console
from gippo_jax.envs.base import PyTree
from gippo_jax.envs.traffic import PaceCar
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements.gradient_quality import window_return
from gippo_jax.plain import Plain

_NUM_STATES = 256
_NUM_SHIFTS = 512
_HORIZON = 32
_WARM_UP = 60
_STANDARD_DEVIATION = 0.2
_SOFTNESS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


def typical_state(env: PaceCar, key: jax.Array) -> PyTree:
  """State after some random steps, the last one before the episode would have ended."""
  start_key, action_key = jax.random.split(key)
  actions = jax.random.uniform(action_key, (_WARM_UP, 2), minval=-1.0, maxval=1.0)
  actions = actions * jnp.array([[0.3, 1.0]]) + jnp.array([[0.0, 0.4]])

  def step(state, action):
    reached = env.step(state, action)
    return jax.tree.map(lambda old, new: jnp.where(reached.terminated > 0, old, new), state, reached), None

  return jax.lax.scan(step, env.reset(start_key), actions)[0]


def normal_quantiles(size: int) -> jax.Array:
  """Shifts that stand for the normal distribution, one for each of `size` equal parts of it."""
  return _STANDARD_DEVIATION * jax.scipy.special.ndtri((jnp.arange(size, dtype=float) + 0.5) / size)


def slopes(env: PaceCar, states: PyTree, actions: jax.Array, shifts: jax.Array, analytic: bool) -> jax.Array:
  """Slope of the expected return by the mean of the shift, for each shift; their mean over shifts is the result.

  Args:
    env: the environment.
    states: batch of start states, `[N]`.
    actions: `[N, T, 2]`.
    shifts: `[M]`.
    analytic: the return's derivative; otherwise the score-function estimate, antithetic.

  Returns:
    Slopes, `[M, N]`.
  """

  def shifted_return(shift, state, actions):
    return window_return(env, state, actions.at[:, 0].add(shift))[0]

  def score(shift, state, actions):
    difference = shifted_return(shift, state, actions) - shifted_return(-shift, state, actions)
    return 0.5 * difference * shift / _STANDARD_DEVIATION**2

  slope = jax.vmap(jax.grad(shifted_return) if analytic else score, in_axes=(None, 0, 0))
  return jax.jit(lambda shifts: jax.lax.map(lambda shift: slope(shift, states, actions), shifts))(shifts)


def measure() -> list[Plain]:
  """One row for the hard environment and for each softness."""
  hard = PaceCar("b")
  keys = jax.random.split(jax.random.key(0), _NUM_STATES)
  states = jax.jit(jax.vmap(lambda key: typical_state(hard, key)))(keys)
  actions = jax.random.uniform(jax.random.key(5), (_NUM_STATES, _HORIZON, 2), minval=-0.5, maxval=0.5)
  reference, coarse = (
    jnp.mean(slopes(hard, states, actions, normal_quantiles(size), analytic=False), axis=0)
    for size in (_NUM_SHIFTS, _NUM_SHIFTS // 2)
  )

  rows = []
  for softness in (None, *_SOFTNESS):
    env = hard if softness is None else PaceCar("b", lane_membership="soft", lane_softness=softness)
    samples = slopes(env, states, actions, normal_quantiles(_NUM_SHIFTS // 2), analytic=True)
    slope = jnp.mean(samples, axis=0)
    rows.append(
      {
        "softness": softness,
        "reference_rms": float(jnp.sqrt(jnp.mean(reference**2))),
        "reference_error": float(jnp.sqrt(jnp.mean((reference - coarse) ** 2))),
        "difference_rms": float(jnp.sqrt(jnp.mean((slope - reference) ** 2))),
        "correlation": float(jnp.corrcoef(slope, reference)[0, 1]),
        "sample_standard_deviation": float(jnp.sqrt(jnp.mean(jnp.var(samples, axis=0)))),
      }
    )
  return rows


def main(arguments: Sequence[str]) -> int:
  """Measures and prints the table."""
  if len(arguments) > 1:
    raise UserError("usage: python -m experiments.measurements.traffic_bias")
  rows = measure()
  first = rows[0]
  table = Table("lane membership", "rms difference", "correlation", "standard deviation of a sample")
  for row in rows:
    name = "hard" if row["softness"] is None else f"soft, {row['softness']:g} m"
    numbers = (row["difference_rms"], row["correlation"], row["sample_standard_deviation"])
    table.add_row(name, *(f"{number:.4f}" for number in numbers))
  output = Console(width=120)
  output.print(
    f"reference: rms {first['reference_rms']:.4f}, half the shifts differ by rms {first['reference_error']:.4f}"
  )
  output.print(table)
  return 0


if __name__ == "__main__":
  console(main)
