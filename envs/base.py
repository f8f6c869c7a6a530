"""The environment contract: a pure `reset`/`step` pair over a typed state."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeGuard, runtime_checkable

import jax
import numpy as np
from flax import struct

if TYPE_CHECKING:
  from matplotlib.axes import Axes

# Any pytree: JAX has no narrower type for what only its owner looks into.
PyTree: TypeAlias = Any


class State(struct.PyTreeNode):
  """What an environment returns from `reset` and `step`.

  Attributes:
    physics: inner state of the environment, any pytree; only the environment reads it.
    obs: observation, shape `[observation_size]`.
    reward: reward of the step that led here, a scalar; 0 after `reset`.
    terminated: 1 when the episode ended early (the future is worth nothing), else 0.
    truncated: 1 when the episode was cut (the future still has a value), else 0.
  """

  physics: Any
  obs: jax.Array
  reward: jax.Array
  terminated: jax.Array
  truncated: jax.Array


@runtime_checkable
class Environment(Protocol):
  """An unbatched environment whose functions are pure and can be jitted, vmapped and differentiated.

  An environment is any object with these members; no base class is needed. `step` must not reset: batching, the time
  limit and the automatic reset are the wrappers' work (see `envs.wrappers`).

  Attributes:
    observation_size: number of entries of an observation.
    action_size: number of entries of an action; each is clipped to [-1, 1] by the environment if it must be.
    episode_length: steps after which the time limit cuts an episode.
    differentiable: whether `step` has a useful derivative with respect to state and action.
    observation_names: optional; what the entries of an observation are, for the contract of an exported policy.
    action_names: optional; what the entries of an action are.
    name: optional; what messages call the environment, by default its class.
    gradient_advice: optional; parameters that would help where differentiating `step` fails, e.g. `env.iterations=1`.
    batch_last: optional; whether copies lie along the last axis of all arrays while they step on a CPU, which suits
      simulators of many small vectors and matrices (`envs.lanes`).
    many_kernels: optional; whether a step is hundreds of small operations even so, as MJX's: a CPU's compiler is then
      told to make them by the quicker of its ways.
  """

  @property
  def observation_size(self) -> int:
    """Entries of an observation."""
    ...

  @property
  def action_size(self) -> int:
    """Entries of an action."""
    ...

  @property
  def episode_length(self) -> int:
    """Steps after which the time limit cuts an episode."""
    ...

  @property
  def differentiable(self) -> bool:
    """Whether `step` has a useful derivative."""
    ...

  def reset(self, key: jax.Array) -> State:
    """Draws the start of an episode."""
    ...

  def step(self, state: State, action: jax.Array) -> State:
    """Advances one step under `action`, shape `[action_size]`."""
    ...


class Trajectory(NamedTuple):
  """One episode, as NumPy arrays.

  Attributes:
    states: `State` of the environment itself, the start first, `[T + 1]`.
    actions: as the environment received them, `[T, action_size]`.
    rewards: `[T]`.
  """

  states: State
  actions: np.ndarray
  rewards: np.ndarray


@runtime_checkable
class Renderable(Protocol):
  """An environment that can show an episode.

  Attributes:
    figure_size: width and height in inches that suit `draw`.
  """

  @property
  def figure_size(self) -> tuple[float, float]:
    """Width and height in inches that suit `draw`."""
    ...

  def page(self, trajectory: Trajectory, title: str) -> str:
    """An HTML page that plays the episode."""
    ...

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    """Draws one state on empty matplotlib axes."""
    ...


class UserCodeError(ValueError):
  """Code of the user's own failed; its cause is what that code raised."""


_LARGEST_INTEGER = 2**31 - 1


def require_positive_integer(name: str, value: object) -> None:
  """Checks a parameter of an environment.

  Raises:
    ValueError: naming the parameter, its value and what is allowed.
  """
  if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST_INTEGER:
    raise ValueError(f"env.{name}: {value!r} is not allowed; allowed: an integer >= 1 (and below 2^31)")


def require_positive_real(name: str, value: object, maximum: float = math.inf) -> None:
  """Checks a parameter of an environment; a traced value passes.

  Raises:
    ValueError: naming the parameter, its value and what is allowed.
  """
  if isinstance(value, jax.Array):
    return
  if not _is_finite(value) or not 0 < value <= maximum:
    bound = "" if maximum == math.inf else f" and <= {maximum:g}"
    raise ValueError(f"env.{name}: {value!r} is not allowed; allowed: a finite number > 0{bound}")


def require_real(name: str, value: object, minimum: float = -math.inf) -> None:
  """Checks a parameter of an environment; a traced value passes.

  Raises:
    ValueError: naming the parameter, its value and what is allowed.
  """
  if isinstance(value, jax.Array):
    return
  if not _is_finite(value) or value < minimum:
    bound = "" if minimum == -math.inf else f" >= {minimum:g}"
    raise ValueError(f"env.{name}: {value!r} is not allowed; allowed: a finite number{bound}")


def _is_finite(value: object) -> TypeGuard[float]:
  return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def require_choice(name: str, value: object, allowed: Iterable[str]) -> None:
  """Checks a parameter of an environment.

  Raises:
    ValueError: naming the parameter, its value and what is allowed.
  """
  if value not in tuple(allowed):
    raise ValueError(f"env.{name}: {value!r} is not allowed; allowed: {', '.join(allowed)}")
