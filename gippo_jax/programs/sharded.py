"""One big run over many devices: the environment axis is split, everything else is on each of them.

The program is the one a single device runs. XLA partitions it: every device steps its own environments, and what is
made of all of them (gradients, statistics, returns) is reduced across devices.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gippo_jax.config import Config, traced
from gippo_jax.envs.base import Environment
from gippo_jax.errors import UserError
from gippo_jax.learning.sharding import ENVIRONMENT, environment_mesh
from gippo_jax.learning.state import TrainingState, best_or_last
from gippo_jax.programs import compilation, memory
from gippo_jax.programs.epochs import make_epochs, run_chunk
from gippo_jax.programs.evaluation import run_to_end
from gippo_jax.programs.members import PendingMetrics
from gippo_jax.programs.program import CAPACITY, begin_member, continue_member


class ShardedMembers:
  """What `members.Members` is, with the environments of each member over all devices of all processes.

  Every process makes the same calls in the same order; each gets the same metrics and returns.

  Args:
    env: unbatched environment.
    config: hyper-parameters; real numbers are scalars, or arrays with leading axis `[num_members]`.
    num_members: members, trained one after the other, each by all devices.
    capacity: most epochs in a chunk.

  Raises:
    UserError: when the number of devices does not divide `config.num_envs`.
  """

  by_environment = True

  def __init__(self, env: Environment, config: Config, num_members: int, capacity: int = CAPACITY):
    self.env = env
    self.num_members = num_members
    self.capacity = capacity
    devices = jax.devices()
    check_divisible(config.num_envs, len(devices))
    self._mesh = environment_mesh(devices)
    self._replicated = NamedSharding(self._mesh, PartitionSpec())
    epochs = make_epochs(env, config)
    # On the host, where every process has them: what goes into a program of many processes must be the same on each.
    self.config = jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf), (num_members,)), traced(config))

    def init(seeds, configs):
      keys = jax.vmap(jax.random.key)(seeds)
      return jax.lax.map(lambda member: epochs.init(*member), (keys, configs))

    def advance(states, configs, num_epochs):
      chunk = functools.partial(run_chunk, epochs, capacity)
      return jax.lax.map(lambda member: chunk(*member), (states, configs, num_epochs))

    def begin_members(keys, num_episodes):
      return jax.lax.map(functools.partial(begin_member, env, num_episodes), keys)

    def continue_members(policies, configs, episodes):
      return jax.lax.map(lambda member: continue_member(env, *member), (policies, configs, episodes))

    seeds = jax.ShapeDtypeStruct((num_members,), np.uint32)
    self._shapes = jax.eval_shape(init, seeds, self.config)
    self._shardings = state_shardings(self._mesh, self._shapes)
    once, self._often = compilation.once(), compilation.often(env)
    self._init = jax.jit(init, out_shardings=self._shardings, compiler_options=once)
    self._advance = jax.jit(advance, out_shardings=(self._shardings, self._replicated), donate_argnums=0)
    self._begin = jax.jit(begin_members, static_argnums=1, out_shardings=self._replicated, compiler_options=once)
    self._continue = jax.jit(continue_members, out_shardings=self._replicated, compiler_options=self._often)
    self._place = jax.jit(lambda states: jax.tree.map(_of_kind, states, self._shapes), out_shardings=self._shardings)
    self._gather = jax.jit(lambda states: states, out_shardings=self._replicated)
    self._compiled: jax.stages.Compiled | None = None

  def init(self, seeds: list[int]) -> TrainingState:
    """States before the first epoch, leading axis `[num_members]`."""
    with jax.set_mesh(self._mesh):
      return self._init(np.asarray(seeds, np.uint32), self.config)

  def place(self, states: TrainingState) -> TrainingState:
    """Spreads states that were read back and that every process has alike."""
    return self._place(jax.tree.map(_raw, states))

  def compile(self, states: TrainingState) -> None:
    """Compiles the chunk, so that its time can be told apart."""
    with jax.set_mesh(self._mesh):
      lowered = self._advance.lower(states, self.config, self._epochs_of_members(0, None))
      self._compiled = lowered.compile(self._often)

  @property
  def program_bytes(self) -> dict[str, int]:
    """Memory of the compiled chunk on one device; see `memory.program_bytes`."""
    return memory.program_bytes(self._program)

  @property
  def program_text(self) -> str:
    """What one device runs, after partitioning."""
    return self._program.as_text() or ""

  @property
  def is_compiled(self) -> bool:
    """Whether `launch` may be called."""
    return self._compiled is not None

  def launch(
    self, states: TrainingState, num_epochs: int, frozen: np.ndarray | None = None
  ) -> tuple[TrainingState, PendingMetrics]:
    """Starts `num_epochs` epochs of the members that are not `frozen`; as `members.Members.launch`."""
    states, metrics = self._program(states, self.config, self._epochs_of_members(num_epochs, frozen))
    return states, PendingMetrics(metrics, num_epochs)

  def fetch(self, pending: PendingMetrics) -> dict[str, np.ndarray]:
    """Waits for a launch; each metric as an array `[num_members, num_epochs]`."""
    metrics = jax.device_get(pending.metrics)
    return {name: values[:, : pending.num_epochs] for name, values in metrics.items()}

  def abstract_states(self) -> TrainingState:
    """Shapes, types and places of the states, with nothing computed."""
    place = lambda shape, sharding: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)  # noqa: E731
    return jax.tree.map(place, self._shapes, self._shardings)

  def trace_evaluation(self, num_episodes: int) -> None:
    """Traces what `evaluate` will run, as `members.Members.trace_evaluation`."""
    episodes = self._begin.eval_shape(self._shapes.key, num_episodes)
    self._continue.eval_shape(self._shapes.policy, self.config, episodes)

  def evaluate(
    self, states: TrainingState, num_episodes: int, of_best: bool = False, stop: Callable[[], bool] = lambda: False
  ) -> np.ndarray | None:
    """Returns of the mean action, `[num_members, num_episodes]`, as `members.Members.evaluate`.

    `stop` must say the same in all processes.
    """
    policies = best_or_last(states) if of_best else states.policy
    episodes = self._begin(states.key, num_episodes)
    ended = run_to_end(lambda now: self._continue(policies, self.config, now), episodes, stop)
    return None if ended is None else jax.device_get(ended.total)

  def gather(self, states: TrainingState) -> TrainingState:
    """Whole states on every device; all processes together."""
    return self._gather(states)

  def gather_shapes(self) -> TrainingState:
    """Shapes and types of what `gather` gives."""
    return self._shapes

  @property
  def _program(self) -> jax.stages.Compiled:
    assert self._compiled is not None, "compile comes first"
    return self._compiled

  def _epochs_of_members(self, num_epochs: int, frozen: np.ndarray | None) -> np.ndarray:
    epochs = np.full(self.num_members, num_epochs, np.int32)
    return epochs if frozen is None else np.where(frozen, 0, epochs).astype(np.int32)


def _raw(leaf: jax.Array) -> np.ndarray:
  """An array's numbers, also of an array of random keys: what goes into a program of many processes."""
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _of_kind(array: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
  """Undoes `_raw`."""
  if not jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
    return jnp.asarray(array, like.dtype)
  return jax.random.wrap_key_data(array, impl=like.dtype._impl.name)


def check_divisible(num_envs: int, num_devices: int) -> None:
  """Refuses environments that cannot be shared out equally.

  Raises:
    UserError: when `num_devices` does not divide `num_envs`.
  """
  if num_envs % num_devices:
    raise UserError(
      f"config.num_envs: {num_envs} is not allowed with --shard_environments on {num_devices} devices; allowed: a "
      f"multiple of {num_devices}"
    )


def state_shardings(mesh: jax.sharding.Mesh, states: TrainingState) -> TrainingState:
  """Where every leaf of `states`, `[num_members, ...]`, lies: environments over the mesh, all else on every device."""
  split = NamedSharding(mesh, PartitionSpec(None, ENVIRONMENT))
  everywhere = jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), states)
  return everywhere.replace(
    environment=jax.tree.map(lambda _: split, states.environment),
    episode_start=split,
    returns=everywhere.returns.replace(running=split),
  )
