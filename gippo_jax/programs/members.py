"""Members: the runs that a compiled program advances side by side."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.algorithms.base import Metrics
from gippo_jax.config import Config
from gippo_jax.envs.base import Environment
from gippo_jax.learning.sharding import Device
from gippo_jax.learning.state import TrainingState, best_or_last
from gippo_jax.programs.evaluation import run_to_end
from gippo_jax.programs.program import CAPACITY, Program


def _never() -> bool:
  return False


class PendingMetrics(NamedTuple):
  """Metrics on the device: the buffers, and how many epochs they hold."""

  metrics: Metrics
  num_epochs: int


class Runs(Protocol):
  """What the host asks of members, however they lie on the hardware (`Members`, `sharded.ShardedMembers`)."""

  capacity: int
  by_environment: bool  # whether environments are spread over devices, not members

  @property
  def env(self) -> Environment:
    """The unbatched environment."""
    ...

  def init(self, seeds: list[int]) -> TrainingState:
    """States before the first epoch."""
    ...

  def place(self, states: TrainingState) -> TrainingState:
    """Puts states, `[num_members]`, where the compiled functions want them."""
    ...

  def gather(self, states: TrainingState) -> TrainingState:
    """States `[num_members]` on the host's default device."""
    ...

  def gather_shapes(self) -> TrainingState:
    """Shapes and types of what `gather` gives."""
    ...

  def compile(self, states: TrainingState) -> None:
    """Compiles the chunk."""
    ...

  @property
  def is_compiled(self) -> bool:
    """Whether `launch` may be called."""
    ...

  @property
  def program_bytes(self) -> dict[str, int]:
    """Memory of the compiled chunk on one device; see `memory.program_bytes`."""
    ...

  def launch(
    self, states: TrainingState, num_epochs: int, frozen: np.ndarray | None = None
  ) -> tuple[TrainingState, PendingMetrics]:
    """Starts `num_epochs` epochs of the members that are not `frozen`, and returns at once."""
    ...

  def fetch(self, pending: PendingMetrics) -> dict[str, np.ndarray]:
    """Waits for a launch; each metric as an array `[num_members, num_epochs]`."""
    ...

  def abstract_states(self) -> TrainingState:
    """Shapes, types and places of the states, with nothing computed."""
    ...

  def trace_evaluation(self, num_episodes: int) -> None:
    """Traces what `evaluate` will run, so that what cannot be is known before the training."""
    ...

  def evaluate(
    self, states: TrainingState, num_episodes: int, of_best: bool = False, stop: Callable[[], bool] = _never
  ) -> np.ndarray | None:
    """Returns of the mean action on fresh episodes, `[num_members, num_episodes]`; `None` when `stop` said so."""
    ...


class Members:
  """Runs in a `Program`.

  Args:
    program: compiled already, or not yet.
    config: of the program's structure; real numbers are scalars, or arrays with leading axis `[num_members]`.
    num_members: at most as many as the program has.
  """

  by_environment = False

  def __init__(self, program: Program, config: Config, num_members: int):
    self.program = program
    self.num_members = num_members
    self.capacity = program.capacity
    self.config = program.stack(config, num_members)

  @property
  def env(self) -> Environment:
    """The unbatched environment."""
    return self.program.env

  def init(self, seeds: list[int]) -> TrainingState:
    """States before the first epoch; leading axis is the (filled up) member axis."""
    seeds = seeds + [seeds[-1]] * (self.program.rows - len(seeds))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    return self.program.init(self.program.place(keys), self.config)

  def place(self, states: TrainingState) -> TrainingState:
    """Puts states that were read back, `[num_members]`, where the compiled functions want them."""
    return self.program.place(jax.tree.map(self.program.fill, states))

  def abstract_states(self) -> TrainingState:
    """Shapes, types and places of the states, with nothing computed."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), self.program.rows))
    states = jax.eval_shape(self.program.init, keys, self.config)
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=self.program.sharding), states)

  def compile(self, states: TrainingState) -> None:
    """Compiles the chunk; `states` may be the abstract ones."""
    self.program.compile(states, self.config)

  @property
  def is_compiled(self) -> bool:
    """Whether `launch` may be called."""
    return self.program.is_compiled

  @property
  def program_bytes(self) -> dict[str, int]:
    """Memory of the compiled chunk on one device; see `memory.program_bytes`."""
    return self.program.bytes

  def launch(
    self, states: TrainingState, num_epochs: int, frozen: np.ndarray | None = None
  ) -> tuple[TrainingState, PendingMetrics]:
    """Starts `num_epochs` epochs and returns at once; the states given are consumed.

    Args:
      states: of the members.
      num_epochs: at most `capacity`.
      frozen: members that stay as they are, `[num_members]`; their metrics mean nothing. None when `None`.

    Returns:
      States after the epochs, and metrics to `fetch`, both still being computed.
    """
    epochs = np.zeros(self.program.rows, np.int32)  # the filling rows make no epoch
    epochs[: self.num_members] = num_epochs if frozen is None else np.where(frozen, 0, num_epochs)
    # JAX keeps no place for arrays without entries, such as simulators have of what a model lacks, and asks for it.
    states = jax.tree.map(lambda leaf: leaf if leaf.size else self.program.place(leaf), states)
    states, metrics = self.program.advance(states, self.config, self.program.place(epochs))
    return states, PendingMetrics(metrics, num_epochs)

  def fetch(self, pending: PendingMetrics) -> dict[str, np.ndarray]:
    """Waits for a launch; each metric as an array `[num_members, num_epochs]`."""
    metrics = jax.device_get(pending.metrics)
    return {name: values[: self.num_members, : pending.num_epochs] for name, values in metrics.items()}

  def trace_evaluation(self, num_episodes: int) -> None:
    """Traces what `evaluate` will run, so that what cannot be is known before the training."""
    states = self.abstract_states()
    episodes = self.program.begin_episodes.eval_shape(states.key, num_episodes)
    self.program.continue_episodes.eval_shape(states.policy, self.config, episodes)

  def evaluate(
    self, states: TrainingState, num_episodes: int, of_best: bool = False, stop: Callable[[], bool] = _never
  ) -> np.ndarray | None:
    """Returns of the mean action on fresh episodes, `[num_members, num_episodes]`; see `evaluation.evaluate`.

    Args:
      states: of the members.
      num_episodes: number of episodes; the same ones for the best policy and the last.
      of_best: evaluate the best policy, not the last.
      stop: asked now and then; whether to give up.

    Returns:
      The returns, NaN for an episode in which a step failed; `None` when they were given up.
    """
    policies = best_or_last(states) if of_best else states.policy
    episodes = self.program.begin_episodes(states.key, num_episodes)
    ended = run_to_end(lambda now: self.program.continue_episodes(policies, self.config, now), episodes, stop)
    return None if ended is None else jax.device_get(ended.total)[: self.num_members]

  def gather(self, states: TrainingState) -> TrainingState:
    """States without the filling rows, on the host's default device."""
    # Copied first: slicing sharded arrays would make the devices wait for each other, which XLA gives up after a while
    # on a busy CPU.
    device = self.program.devices[0]
    return jax.tree.map(lambda leaf: jax.device_put(leaf, device)[: self.num_members], states)

  def gather_shapes(self) -> TrainingState:
    """Shapes and types of what `gather` gives."""

    def cut(shape):
      return jax.ShapeDtypeStruct((self.num_members, *shape.shape[1:]), shape.dtype)

    return jax.tree.map(cut, self.abstract_states())


def make_members(
  env: Environment,
  config: Config,
  num_members: int,
  capacity: int = CAPACITY,
  arrangement: str | None = None,
  devices: list[Device] | None = None,
) -> Members:
  """Members of a new program; arguments as for `Program`, real numbers as for `Members`."""
  return Members(Program(env, config, num_members, capacity, arrangement, devices), config, num_members)
