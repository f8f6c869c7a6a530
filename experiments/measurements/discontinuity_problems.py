"""The problems with jumps as costs of a vector, and what was published of their end points."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, optimize

from gippo_jax.envs.discontinuities import BallOverWall, Friction, MomentumTransfer, Pushing, Tennis
from gippo_jax.envs.discontinuities.angles import OneAngle
from gippo_jax.envs.discontinuities.tennis import observe
from gippo_jax.envs.discontinuities.two_bodies import TwoBodies
from gippo_jax.experiments.measurements.discontinuities import (
  FIRST_ORDER,
  INVERSE_VARIANCE,
  ZEROTH_ORDER,
  Cost,
  Descent,
  Estimator,
  aobg,
  ddcg,
  descend,
)

# Rollouts that share a draw of the parameters in tennis, and the starts that judge it.
_STARTS, _JUDGED_STARTS = 8, 256


class Setting(NamedTuple):
  """A problem and how it is descended.

  Attributes:
    label: for readers.
    cost: of a point.
    start: of the descent, `[d]`.
    std: of the smoothing.
    step: times the gradient.
    num_steps: of the descent.
    num_trials: of it.
    judged: the recorded cost; `cost` by default.
  """

  label: str
  cost: Cost
  start: jax.Array
  std: float
  step: float
  num_steps: int
  num_trials: int
  judged: Cost | None = None

  def descend(self, estimator: Estimator, num_samples: int, key: jax.Array, num_trials: int | None = None) -> Descent:
    """All trials by a rule."""
    judged = self.judged or self.cost
    return descend(
      self.cost,
      self.start,
      estimator,
      key,
      num_trials=num_trials or self.num_trials,
      num_steps=self.num_steps,
      num_samples=num_samples,
      step=self.step,
      std=self.std,
      judged=lambda point: judged(point, jax.random.key(1)),
    )


def of_angle(env: OneAngle) -> Cost:
  """Cost of an angle, `[1]`."""
  return lambda point, key: env.cost(point[0])


def open_loop(env: TwoBodies) -> Cost:
  """Cost of the forces of an episode, `[T]`: that of all states reached."""

  def cost(point: jax.Array, key: jax.Array) -> jax.Array:
    del key

    def step(physics, push):
      reached = env.advance(physics, push)
      return reached, env.cost(reached, push)

    return jnp.sum(jax.lax.scan(step, env.begin(), point)[1])

  return cost


def linear_policy(env: Tennis, num_starts: int) -> Cost:
  """Mean cost of an episode under `motion = point @ observation`, `[3 * 7]`, over random starts."""

  def cost(point: jax.Array, key: jax.Array) -> jax.Array:
    gain = point.reshape(env.action_size, env.observation_size)

    def step(physics, _):
      motion = gain @ observe(physics)
      reached = env.advance(physics, motion)
      return reached, env.cost(reached, motion)

    def of_start(key):
      return jnp.sum(jax.lax.scan(step, env.begin(key), None, env.episode_length)[1])

    return jnp.mean(jax.vmap(of_start)(jax.random.split(key, num_starts)))

  return cost


def settings() -> dict[str, Setting]:
  """By name, with the settings of Suh et al."""
  soft, stiff = Pushing(), Pushing(stiffness=1000.0, damping=0.01, episode_length=200)
  tennis = Tennis()
  return {
    "ball": Setting("ball over the wall", of_angle(BallOverWall()), jnp.array([0.1]), 0.1, 0.1, 1000, 20),
    "momentum": Setting("momentum transfer", of_angle(MomentumTransfer()), jnp.array([0.1]), 0.02, 0.1, 500, 20),
    "momentum_small": Setting(
      "momentum transfer, steps a twentieth", of_angle(MomentumTransfer()), jnp.array([0.1]), 0.02, 0.005, 2000, 20
    ),
    "soft": Setting("pushing, soft", open_loop(soft), jnp.full(soft.episode_length, 0.1), 0.1, 1e-3, 500, 5),
    "stiff": Setting("pushing, stiff", open_loop(stiff), jnp.full(stiff.episode_length, 0.1), 0.1, 1e-3, 500, 5),
    "friction": Setting("friction", open_loop(Friction()), jnp.zeros(400), 0.1, 1e-4, 100, 5),
    "tennis": Setting(
      "tennis",
      linear_policy(tennis, _STARTS),
      jnp.zeros(21),
      0.01,
      1e-5,
      100,
      1,
      linear_policy(tennis, _JUDGED_STARTS),
    ),
  }


class Asked(NamedTuple):
  """A run whose end is known.

  Attributes:
    problem: of `settings()`.
    num_samples: a step.
    label: of the rule.
    estimator: the rule.
    end: the end point elsewhere, `None` where none is known.
    weight: the mean weight elsewhere.
    plotted: the end point in a plot of Suh et al.
  """

  problem: str
  num_samples: int
  label: str
  estimator: Estimator
  end: float | None
  weight: float | None = None
  plotted: float | None = None


_RULES = {"first order": FIRST_ORDER, "zeroth order": ZEROTH_ORDER, "inverse variance": INVERSE_VARIANCE}


def asked() -> list[Asked]:
  """The end points on the two problems of one angle."""
  found = []
  for number, ends in (
    (1000, ((0.4947, None), (0.8545, None), (0.4982, 0.87), (0.8526, 0.36))),
    (50, ((0.4946, None), (0.8543, None), (0.4922, 0.71), (0.8546, 0.35))),
    (10, ((0.4957, None), (0.8546, None), (0.4800, 0.44), (0.8500, 0.24))),
  ):
    plots = {"first order": 0.4952, "zeroth order": 0.8331} if number == 50 else {}
    for (label, rule), (end, weight) in zip([*_RULES.items(), ("DDCG", ddcg(0.3))], ends, strict=True):
      found.append(Asked("ball", number, label, rule, end, weight, plots.get(label)))
    if number == 1000:
      found += [
        Asked("ball", number, "AoBG 0.01", aobg(0.01, 1.0), 0.4982, 0.87),
        Asked("ball", number, "AoBG 0.005", aobg(0.005, 1.0), 0.8315, 0.52),
        Asked("ball", number, "AoBG 0.005, failure 0.95", aobg(0.005, 1.0, 0.95), 0.505, 0.83),
      ]
    else:
      end, plot = {50: (0.8539, 0.8346), 10: (0.8530, None)}[number]
      found.append(Asked("ball", number, "AoBG 0.01", aobg(0.01, 1.0), end, 0.0, plot))
  found += [
    Asked("momentum", 50, "first order", FIRST_ORDER, 0.861, None, 0.8434),
    Asked("momentum", 50, "zeroth order", ZEROTH_ORDER, None, None, 0.7394),
    Asked("momentum", 50, "AoBG 0.2", aobg(0.2, 1.0), None, None, 0.7577),
    Asked("momentum", 50, "DDCG", ddcg(0.3), None),
    Asked("momentum_small", 50, "first order", FIRST_ORDER, None),
    Asked("momentum_small", 50, "zeroth order", ZEROTH_ORDER, 0.741),
    Asked("momentum_small", 50, "AoBG 0.2", aobg(0.2, 1.0), None),
    Asked("momentum_small", 50, "DDCG", ddcg(0.3), None),
  ]
  return found


def rules_of_cost(problem: str) -> dict[str, Estimator]:
  """The rules on a problem that is judged by its cost; AoBG's settings are the paper's."""
  tolerance, bound = {"soft": (1e8, 1.0), "stiff": (1e8, 1.0), "friction": (2e4, 100.0), "tennis": (1e3, 1e3)}[problem]
  slacks = (0.3,) if problem == "tennis" else (0.1, 0.3, 0.5, 0.9)
  return {
    **_RULES,
    f"AoBG {tolerance:g}": aobg(tolerance, bound),
    **{f"DDCG, c = {slack:g}": ddcg(slack) for slack in slacks},
  }


NUM_SAMPLES = {"soft": 10, "stiff": 10, "friction": 10, "tennis": 125}


def smoothed_optimum(env: OneAngle, std: float) -> float:
  """The angle in (0, pi / 2) of the least cost under Gaussian noise, by quadrature."""
  grid = np.linspace(-8.0, 8.0, 40_001)
  density = np.exp(-(grid**2) / 2.0) / np.sqrt(2.0 * np.pi)
  costs = jax.jit(jax.vmap(env.cost))

  def smoothed(angle: float) -> float:
    return float(integrate.trapezoid(np.asarray(costs(jnp.asarray(angle + std * grid))) * density, grid))

  coarse = np.linspace(0.05, 1.5, 60)
  best = coarse[int(np.argmin([smoothed(angle) for angle in coarse]))]
  found = optimize.minimize_scalar(smoothed, bounds=(best - 0.05, best + 0.05), method="bounded")
  return float(found.x)
