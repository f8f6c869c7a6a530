"""The compiled program of training: members (runs side by side) advanced by a chunk of epochs.

A member is one run: a key and a `Config`. Members differ in their keys and in any of the configuration's real numbers;
sizes and switches are common. However members are arranged on the hardware, member i computes what it would alone.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gippo_jax.algorithms.base import Metrics
from gippo_jax.config import MATMUL_PRECISIONS, Config, traced
from gippo_jax.envs.base import Environment, PyTree
from gippo_jax.learning.agents import make_networks
from gippo_jax.learning.policies import make_policy
from gippo_jax.learning.sharding import Device
from gippo_jax.learning.state import PolicyState, TrainingState
from gippo_jax.programs import compilation, memory
from gippo_jax.programs.epochs import make_epochs, run_chunk
from gippo_jax.programs.evaluation import SLICE, Episodes, begin_episodes, continue_episodes

# Most epochs between two looks of the host; the same for runs of any length, which then share a program.
CAPACITY = 256

# Folded into a state's key for evaluation, so that evaluating changes nothing in training.
_EVALUATION_STREAM = 0x6576616C


def member_devices(num_members: int) -> list[Device]:
  """Local devices that members are spread over, at most one each."""
  return jax.local_devices()[:num_members]


def prefer_map(devices: list[Device]) -> bool:
  """Whether a device runs its members one after the other (`lax.map`) rather than in one batch (`vmap`).

  On a CPU each member then runs the program of a single run, and its retries end when its own succeed; under `vmap`
  they last until the slowest member's. On an accelerator one member leaves the device idle.
  """
  return devices[0].platform == "cpu"


def begin_member(env: Environment, num_episodes: int, key: jax.Array) -> Episodes:
  """A member's fresh episodes.

  Args:
    env: unbatched environment.
    num_episodes: number of episodes.
    key: of the member's state, which is not used up.
  """
  return begin_episodes(env, jax.random.fold_in(key, _EVALUATION_STREAM), num_episodes)


def continue_member(env: Environment, policy: PolicyState, config: Config, episodes: Episodes) -> Episodes:
  """A slice of a member's episodes under its mean action; see `evaluation.continue_episodes`.

  Args:
    env: unbatched environment.
    policy: networks and statistics.
    config: hyper-parameters.
    episodes: before the slice.
  """
  networks = make_networks(env.observation_size, env.action_size, config.actor, config.critic)
  acting = make_policy(networks, config.normalize_observations, policy)
  with jax.default_matmul_precision(MATMUL_PRECISIONS[config.matmul_precision]):
    return continue_episodes(acting, env, episodes, SLICE)


class Program:
  """Compiled functions over up to `num_members` members; `Members` are what runs in it.

  Args:
    env: unbatched environment.
    config: its sizes and switches count.
    num_members: most members side by side.
    capacity: most epochs in a chunk.
    arrangement: of the members of one device: `map` (one after the other) or `vmap` (in one batch); see `prefer_map`,
      which decides when `None`.
    devices: over which members are spread, at most one each; all local ones when `None`.

  Attributes:
    env, num_members, capacity, arrangement: as above.
    devices: over which members are spread.
    rows: members, with those that fill the last device's share.
  """

  def __init__(
    self,
    env: Environment,
    config: Config,
    num_members: int,
    capacity: int = CAPACITY,
    arrangement: str | None = None,
    devices: list[Device] | None = None,
  ):
    self.env = env
    self.num_members = num_members
    self.capacity = capacity
    self.devices = member_devices(num_members) if devices is None else devices[:num_members]
    self.arrangement = arrangement or ("map" if prefer_map(self.devices) else "vmap")
    self.rows = -(-num_members // len(self.devices)) * len(self.devices)
    epochs = make_epochs(env, config)
    # On a CPU never in one batch: JAX spreads a batched QR factorisation (orthogonal initialisation) over the thread
    # pool that devices run on, and waits in it; two devices that do so wait for each other for ever.
    initialize = jax.lax.map if prefer_map(self.devices) else _vmap_over_tuple
    mesh = Mesh(np.asarray(self.devices), ("member",))
    members = PartitionSpec("member")
    self.sharding = NamedSharding(mesh, members)

    # Under JAX_DISABLE_JIT, which one reaches for when a simulator misbehaves, everything is plain Python.
    self._is_eager = bool(jax.config.values["jax_disable_jit"])

    def sharded(function, *specs):
      if self._is_eager:
        return function
      return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=members, check_vma=False)

    def init(keys, configs):
      return initialize(lambda member: epochs.init(*member), (keys, configs))

    chunk = functools.partial(run_chunk, epochs, capacity)

    def advance(states, configs, num_epochs):
      if self.arrangement == "map":
        return jax.lax.map(lambda member: chunk(*member), (states, configs, num_epochs))
      # With a bound of each member's own, the batched loop would copy all buffers in every epoch.
      after, metrics = jax.vmap(chunk, in_axes=(0, 0, None))(states, configs, jnp.max(num_epochs))
      return jax.vmap(_where)(num_epochs > 0, after, states), metrics

    def begin_members(num_episodes, keys):
      return jax.lax.map(functools.partial(begin_member, env, num_episodes), keys)

    def begin_shards(keys, num_episodes):
      return sharded(functools.partial(begin_members, num_episodes), members)(keys)

    def continue_members(policies, configs, episodes):
      return jax.lax.map(lambda member: continue_member(env, *member), (policies, configs, episodes))

    once, often = compilation.once(), compilation.often(env)
    self.init = jax.jit(sharded(init, members, members), compiler_options=once)
    self.begin_episodes = jax.jit(begin_shards, static_argnums=1, compiler_options=once)
    continue_shards = sharded(continue_members, members, members, members)
    self.continue_episodes = jax.jit(continue_shards, donate_argnums=2, compiler_options=often)
    self._advance = jax.jit(sharded(advance, members, members, members), donate_argnums=0)
    self._compiled: Callable[..., tuple[TrainingState, Metrics]] | None = None

  def compile(self, states: TrainingState, config: Config) -> None:
    """Compiles `advance`, so that its time can be told apart; the arguments may be shapes."""
    if self._is_eager:
      self._compiled = self._advance
      return
    num_epochs = self.place(np.zeros(self.rows, np.int32))
    self._compiled = self._advance.lower(states, config, num_epochs).compile(compilation.often(self.env))

  @property
  def is_compiled(self) -> bool:
    """Whether `advance` may be called."""
    return self._compiled is not None

  @property
  def advance(self) -> Callable[..., tuple[TrainingState, Metrics]]:
    """`(states, configs, num_epochs) -> (states, metrics)`, all with the row axis in front; consumes the states."""
    assert self._compiled is not None, "compile comes first"
    return self._compiled

  @property
  def bytes(self) -> dict[str, int]:
    """Memory of the compiled chunk on one device; see `memory.program_bytes`."""
    assert self._compiled is not None, "compile comes first"
    return memory.program_bytes(self._compiled) if isinstance(self._compiled, jax.stages.Compiled) else {}

  def place(self, tree: PyTree) -> PyTree:
    """Puts arrays, `[rows, ...]`, where the compiled functions want them."""
    return jax.device_put(tree, self.sharding)

  def fill(self, leaf: jax.Array) -> jax.Array:
    """`[members, ...] -> [rows, ...]`, the rows that fill the last device's share being copies of the last member."""
    filling = [leaf[-1:]] * (self.rows - leaf.shape[0])
    return jnp.concatenate([leaf, *filling]) if filling else leaf

  def stack(self, config: Config, num_members: int) -> Config:
    """Hyper-parameters of the rows; real numbers are scalars, or arrays with leading axis `[num_members]`."""
    rows = jax.tree.map(lambda leaf: self.fill(jnp.broadcast_to(leaf, (num_members,))), traced(config))
    return self.place(rows)


def _vmap_over_tuple(function, members):
  return jax.vmap(lambda *member: function(member))(*members)


def _where(condition, new, old):
  return jax.tree.map(functools.partial(jnp.where, condition), new, old)
