"""Variance of both estimates against the horizon where dynamics are chaotic: the double pendulum of Suh et al., 2022.

The gradient is by the state in which the pendulum starts, smoothed by noise of 0.5 on its two angles and two rates, and
means are over 100 draws. What is differentiated is the cost of the last state alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from gippo_jax.envs.discontinuities import DoublePendulum
from gippo_jax.envs.discontinuities.double_pendulum import DoublePendulumPhysics
from gippo_jax.experiments.measurements.discontinuities import variance
from gippo_jax.experiments.tables.documents import markdown_table
from gippo_jax.experiments.tables.figure_curves import STYLES
from gippo_jax.learning.mixers import second_share
from gippo_jax.plain import Plain

_STD, _NUM_SAMPLES, _NUM_BATCHES = 0.5, 100, 20
_SPACING, _NUM_HORIZONS = 100, 21  # 0 to 2000 steps of 1 ms
_SHOWN = 4  # of these horizons, every so many have a row


def costs_by_horizon(start: jax.Array, spacing: int = _SPACING, num_horizons: int = _NUM_HORIZONS) -> jax.Array:
  """Costs of the states reached after 0, `spacing`, 2 `spacing`, ... steps without torque.

  Args:
    start: two angles and two rates, `[4]`.
    spacing: steps from one horizon to the next.
    num_horizons: of them.
  """
  env, torque = DoublePendulum(), jnp.zeros(())

  def far(physics: DoublePendulumPhysics, _: None) -> tuple[DoublePendulumPhysics, jax.Array]:
    reached, _ = jax.lax.scan(lambda now, _: (env.advance(now, torque), None), physics, None, spacing)
    return reached, env.cost(physics)

  return jax.lax.scan(far, DoublePendulumPhysics(start[:2], start[2:]), None, num_horizons)[1]


def measure_chaos(key: jax.Array, num_batches: int = _NUM_BATCHES) -> list[Plain]:
  """A row for each horizon: variance of a mean of 100 samples by either estimate, over batches.

  Args:
    key: of the draws.
    num_batches: each of which has a variance; the mean, the least and the largest are told. Tails are heavy under
      chaos: most batches do not show the variance that there is.
  """
  center = jnp.concatenate(DoublePendulum().begin())
  # Forward: one pass gives the derivatives of all horizons, where each would need a backward pass of its own.
  value_and_slope = jax.vmap(lambda start: (costs_by_horizon(start), jax.jacfwd(costs_by_horizon)(start)))

  @jax.jit
  def of_batch(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    noise = jax.random.normal(key, (_NUM_SAMPLES, center.size))
    values, first = value_and_slope(center[None] + _STD * noise)
    second = (values - costs_by_horizon(center)[None])[..., None] * noise[:, None] / _STD
    of_sample = jax.vmap(variance, in_axes=1)
    return of_sample(first) / _NUM_SAMPLES, of_sample(second) / _NUM_SAMPLES

  batches = [of_batch(key) for key in jax.random.split(key, num_batches)]
  first, second = (np.asarray([batch[index] for batch in batches], float) for index in (0, 1))
  weights = second_share(jnp.asarray(second.mean(axis=0)), jnp.asarray(first.mean(axis=0)))
  return [
    {
      "horizon": index * _SPACING,
      "first": _spread(first[:, index]),
      "zeroth": _spread(second[:, index]),
      "weight": float(weights[index]),
    }
    for index in range(_NUM_HORIZONS)
  ]


def _spread(values: np.ndarray) -> Plain:
  return {"mean": float(values.mean()), "least": float(values.min()), "largest": float(values.max())}


def chaos_table(rows: list[Plain]) -> str:
  """Some of the horizons in Markdown."""
  header = [
    "double pendulum, horizon",
    "variance, first order",
    "variance, zeroth order",
    "first over zeroth",
    "weight",
  ]
  return markdown_table(
    header,
    [
      [
        f"{row['horizon']} steps",
        *(_text(row[name]) for name in ("first", "zeroth")),
        f"{row['first']['mean'] / row['zeroth']['mean']:.2g}",
        f"{row['weight']:.2f}",
      ]
      for row in rows[::_SHOWN]
    ],
  )


def _text(spread: Plain) -> str:
  return f"{spread['mean']:.3g} ({spread['least']:.3g} to {spread['largest']:.3g})"


def draw_chaos(axis: Axes, rows: list[Plain]) -> None:
  """Variances against the horizon, means over batches and their ranges."""
  horizons = [row["horizon"] for row in rows]
  for name, label, style in (("first", "first order", "rp"), ("zeroth", "zeroth order", "lr")):
    axis.plot(horizons, [row[name]["mean"] for row in rows], label=label, **STYLES[style])
    least, largest = ([row[name][bound] for row in rows] for bound in ("least", "largest"))
    axis.fill_between(horizons, least, largest, color=STYLES[style]["color"], alpha=0.15, linewidth=0)
  axis.set(xlabel="horizon (steps of 1 ms)", ylabel="variance of a mean of 100", yscale="log")
  axis.set_title("double pendulum", fontsize="small")
  axis.grid(alpha=0.3)
  axis.legend(fontsize="x-small")
