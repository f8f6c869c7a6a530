"""How often gradients through an environment are not finite: its steps', and those of windows as training has them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.extend.core import ClosedJaxpr

from gippo_jax.config import Config
from gippo_jax.envs.base import Environment, PyTree, State
from gippo_jax.envs.border import name_of
from gippo_jax.envs.wrappers import EpisodeState, TimeLimit, vectorize
from gippo_jax.errors import UserError
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.policies import Policy
from gippo_jax.programs import compilation


class Played(struct.PyTreeNode):
  """A window of `T` steps of `N` environments.

  Attributes:
    before: the states that the steps began in, `[T, N]`.
    action: as the environment received it, `[T, N, A]`.
    fault: 1 where the step's action, reward or observation was not finite, `[T, N]`.
    gradient: derivative of the sum of the window's rewards by each action, through all later steps, `[T, N, A]`.
  """

  before: State
  action: jax.Array
  fault: jax.Array
  gradient: jax.Array


class Derivative(NamedTuple):
  """A step's vector-Jacobian product with a vector of ones, of `N` environments.

  Attributes:
    finite: by each of `names`, whether all entries are finite, `[N, L]`.
    norm: Euclidean, of all entries that are finite, `[N]`.
  """

  finite: jax.Array
  norm: jax.Array


class Step:
  """An environment's step as a function of the arrays that it can be differentiated by: those of the state, the action.

  Its results are the floats among the next state's: reward, observation and physics.

  Args:
    env: unbatched environment.
    like: a state of its with time limit, or many of them: what arrays there are.

  Attributes:
    names: of the arguments.
  """

  def __init__(self, env: Environment, like: State):
    self._env = TimeLimit(env)
    paths, self._structure = jax.tree_util.tree_flatten_with_path(_differentiated(like))
    self._real = [_is_real(leaf) for _, leaf in paths]
    self.names = [*(_name_of(path) for (path, _), real in zip(paths, self._real, strict=True) if real), "action"]

  def arguments(self, state: State, action: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
    """What the step is differentiated by, and the arrays beside it."""
    leaves = jax.tree.leaves(_differentiated(state))
    real = [leaf for leaf, wanted in zip(leaves, self._real, strict=True) if wanted]
    others = [leaf for leaf, wanted in zip(leaves, self._real, strict=True) if not wanted]
    return [*real, action], others

  def __call__(self, real: list[jax.Array], others: list[jax.Array]) -> list[jax.Array]:
    """One environment's step."""
    *leaves, action = real
    rows = {True: iter(leaves), False: iter(others)}
    physics, obs = jax.tree.unflatten(self._structure, [next(rows[wanted]) for wanted in self._real])
    zero = jnp.zeros(())
    reached = self._env.step(State(physics, obs, zero, zero, zero), action)
    return [leaf for leaf in jax.tree.leaves((reached.physics, reached.obs, reached.reward)) if _is_real(leaf)]

  def program(self, state: State, action: jax.Array) -> ClosedJaxpr:
    """The step of one environment, in a batch of one, as training sees it; its arguments are `arguments`', flat."""
    return jax.make_jaxpr(jax.vmap(self))(*jax.tree.map(lambda leaf: leaf[None], self.arguments(state, action)))

  def derivative(self, state: State, action: jax.Array) -> Derivative:
    """Of `N` environments."""

    def of_one(state, action):
      real, others = self.arguments(state, action)
      outputs, pull = jax.vjp(lambda real: self(real, others), real)
      (gradient,) = pull([jnp.ones_like(output) for output in outputs])
      finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in gradient])
      entries = jnp.concatenate([jnp.ravel(leaf).astype(action.dtype) for leaf in gradient])
      entries = jnp.where(jnp.isfinite(entries), entries, 0.0)
      largest = jnp.max(jnp.abs(entries))
      scaled = entries / jnp.where(largest > 0, largest, 1.0)  # so that squares stay in range
      return Derivative(finite, largest * jnp.sqrt(jnp.sum(scaled**2)))

    return jax.vmap(of_one)(state, action)


def _differentiated(state: State) -> tuple[PyTree, jax.Array]:
  return state.physics, state.obs


def _name_of(path: jax.tree_util.KeyPath) -> str:
  """`obs`, or `physics` and the path in the environment's own, within the time limit's."""
  return "obs" if len(path) == 1 else "physics" + jax.tree_util.keystr(path[2:])


def _is_real(leaf: jax.Array) -> bool:
  return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def window_of(
  env: Environment, config: Config, num_envs: int, policy: Policy | None, explore: bool
) -> tuple[Callable[[jax.Array], EpisodeState], Callable[[EpisodeState, jax.Array], tuple[EpisodeState, Played]]]:
  """What plays windows.

  Args:
    env: unbatched environment.
    config: its `horizon` and `rematerialize`.
    num_envs: environments side by side.
    policy: acts, and the derivative runs through it as in training; with None actions are uniform in [-1, 1].
    explore: whether its actions are drawn, and not its mean.

  Returns:
    `reset(key)`; and `window(environments, key)`, the environments after a window, and the window.
  """
  batch = vectorize(env, num_envs)
  shape = (config.horizon, num_envs, env.action_size)

  def act(obs: jax.Array, noise: jax.Array) -> jax.Array:
    return noise if policy is None else policy.act(obs, noise)

  def window(environments: EpisodeState, key: jax.Array) -> tuple[EpisodeState, Played]:
    if policy is None:
      noise = jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    else:
      noise = jax.random.normal(key, shape) * float(explore)

    def total_reward(shift):
      def step(environments, inputs):
        noise, shift = inputs
        before = environments.current
        action = act(before.obs, noise) + shift
        reached = batch.step(environments, action)
        return reached, (before, action, reached.fault, reached.current.reward)

      step = jax.checkpoint(step) if config.rematerialize else step
      environments_after, (before, action, fault, reward) = jax.lax.scan(step, environments, (noise, shift))
      return jnp.sum(reward), (environments_after, Played(before, action, fault, shift))

    gradient, (after, played) = jax.grad(total_reward, has_aux=True)(jnp.zeros(shape))
    return after, played.replace(gradient=gradient)

  return batch.reset, window


class Counts(NamedTuple):
  """What was counted.

  Attributes:
    samples: steps times environments.
    failed: samples whose action, reward or observation was not finite.
    broken: others whose step's own derivative was not finite.
    lost: samples whose gradient through the window was not finite.
    unexplained: those of `lost` with no failed or broken step from there to the window's end: products of Jacobians
      that left the range of floats, or the policy.
    largest_step, largest_window: largest finite norms of the two.
    norm_by_age: mean finite norm through the window, for up to 8 equal parts of it, the first steps first.
    leaves: samples whose derivative by each array was not finite.
  """

  samples: int
  failed: int
  broken: int
  lost: int
  unexplained: int
  largest_step: float
  largest_window: float
  norm_by_age: tuple[float, ...]
  leaves: dict[str, int]


class Sample(NamedTuple):
  """A step whose derivative is not finite.

  Attributes:
    step: index, from the first window on.
    environment: index.
    leaves: arrays of the state, or the action, by which the derivative is not finite.
    state, action: where it is.
  """

  step: int
  environment: int
  leaves: tuple[str, ...]
  state: State
  action: jax.Array


class Findings(NamedTuple):
  """What was counted, some of the broken steps, and the step as a function."""

  counts: Counts
  samples: list[Sample]
  step: Step


def count(
  env: Environment,
  config: Config,
  key: jax.Array,
  num_envs: int,
  num_windows: int,
  policy: Policy | None = None,
  explore: bool = True,
  most_samples: int = 16,
) -> Findings:
  """Plays, and looks at the derivatives.

  Args:
    env, config, num_envs, policy, explore: as for `window_of`.
    key: draws starts and actions.
    num_windows: windows of `config.horizon` steps, one after the other.
    most_samples: samples that are kept.

  Returns:
    What was counted; and the first broken step, with others spread evenly over all of them.

  Raises:
    UserError: when the environment cannot be differentiated.
  """
  reset, window = window_of(env, config, num_envs, policy, explore)
  reset_key, *keys = jax.random.split(key, num_windows + 1)
  environments = jax.jit(reset)(reset_key)
  step = Step(env, environments.current)
  window, derivative = _differentiable(env, jax.jit(window), environments, keys[0]), jax.jit(step.derivative)
  totals, ages, samples = np.zeros(5, int), [], []
  leaves, largest = np.zeros(len(step.names), int), [0.0, 0.0]
  for index, window_key in enumerate(keys):
    environments, played = window(environments, window_key)
    inputs = (played.before, played.action)
    rows = [derivative(*jax.tree.map(lambda leaf, t=t: leaf[t], inputs)) for t in range(config.horizon)]
    finite, norm = (np.stack([np.asarray(row[part]) for row in rows]) for part in range(2))
    failed = np.asarray(played.fault) > 0
    broken = ~finite.all(-1) & ~failed
    lost = np.asarray(~np.isfinite(np.asarray(played.gradient)).all(-1))
    wrong = broken | failed
    ahead = np.stack([wrong[t:].any(0) for t in range(config.horizon)])
    totals += [failed.size, failed.sum(), broken.sum(), lost.sum(), (lost & ~ahead).sum()]
    leaves += (~finite & broken[..., None]).sum((0, 1))
    size = np.linalg.norm(np.where(lost[..., None], 0.0, np.asarray(played.gradient, np.float64)), axis=-1)
    largest = [max(largest[0], float(norm[~broken & ~failed].max(initial=0.0))), max(largest[1], float(size.max()))]
    if not lost.all():
      ages.append(np.asarray(drop_nonfinite(played.gradient)[1]["sample_gradient_norm_by_age"], float))
    for t, n in thinned([tuple(place) for place in np.argwhere(broken)], most_samples):
      state, action = jax.tree.map(lambda leaf, t=t, n=n: leaf[t, n], inputs)
      names = tuple(name for name, fine in zip(step.names, finite[t, n], strict=True) if not fine)
      samples.append(Sample(index * config.horizon + int(t), int(n), names, state, action))
  by_age = tuple(np.mean(ages, axis=0).tolist()) if ages else ()
  by_leaf = {name: int(number) for name, number in zip(step.names, leaves, strict=True) if number}
  size_of, failures, breaks, losses, unexplained = (int(total) for total in totals)
  counts = Counts(size_of, failures, breaks, losses, unexplained, largest[0], largest[1], by_age, by_leaf)
  return Findings(counts, thinned(samples, most_samples), step)


def thinned(items: list, most: int) -> list:
  """At most `most` of the items, the first one and others spread evenly."""
  return [items[index] for index in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).astype(int))]


def _differentiable(env: Environment, window, environments: EpisodeState, key: jax.Array):
  """The compiled window, or why there is none."""
  allowed = "allowed: an environment with a derivative"
  if not env.differentiable:
    raise UserError(f"config.env.name: {name_of(env)} says that it is not differentiable; {allowed}")
  try:
    return window.lower(environments, key).compile(compilation.often(env))
  except (TypeError, ValueError, NotImplementedError) as error:
    advice = getattr(env, "gradient_advice", "")
    reason = str(error).strip().splitlines()[0] + (f"; try {advice}" if advice else "")
    raise UserError(f"config.env.name: differentiating {name_of(env)} failed: {reason}; {allowed}") from error
