"""The compiled part of training: members (runs side by side) advanced by a chunk of epochs.

A member is one run: a key and a `Config`. Members differ in their keys and in any of the configuration's real numbers;
sizes and switches are common. However members are arranged on the hardware, member i computes what it would alone.
"""

import copy
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gippo_jax.algorithms.base import Metrics
from gippo_jax.config import Config, traced
from gippo_jax.envs.base import Environment, PyTree
from gippo_jax.learning.agents import make_networks
from gippo_jax.learning.policies import make_policy
from gippo_jax.learning.state import PolicyState, TrainingState
from gippo_jax.programs import memory
from gippo_jax.programs.epochs import make_epochs, run_chunk
from gippo_jax.programs.evaluation import evaluate

# Folded into a state's key for evaluation, so that evaluating changes nothing in training.
EVALUATION_STREAM = 0x6576616C


def evaluate_member(
  env: Environment, num_episodes: int, key: jax.Array, policy: PolicyState, config: Config
) -> jax.Array:
  """Returns of a member's policy on fresh episodes, `[num_episodes]`; see `evaluation.evaluate`.

  Args:
    env: unbatched environment.
    num_episodes: number of episodes.
    key: of the member's state, which is not used up.
    policy: networks and statistics.
    config: hyper-parameters.
  """
  networks = make_networks(env.observation_size, env.action_size, config.actor, config.critic)
  acting = make_policy(networks, config.normalize_observations, policy)
  return evaluate(acting, env, jax.random.fold_in(key, EVALUATION_STREAM), num_episodes)


def member_devices(num_members: int) -> list[jax.Device]:
  """Local devices that members are spread over, at most one each."""
  return jax.local_devices()[:num_members]


def prefer_map(devices: list[jax.Device]) -> bool:
  """Whether a device runs its members one after the other (`lax.map`) rather than in one batch (`vmap`).

  On a CPU each member then runs the program of a single run, and its retries end when its own succeed; under `vmap`
  they last until the slowest member's. On an accelerator one member leaves the device idle.
  """
  return devices[0].platform == "cpu"


class PendingMetrics(NamedTuple):
  """Metrics on the device: the buffers, and how many epochs they hold."""

  metrics: Metrics
  num_epochs: int


class Members:
  """Compiled functions over `num_members` members.

  Args:
    env: unbatched environment.
    config: hyper-parameters; real numbers are scalars, or arrays with leading axis `[num_members]`.
    num_members: members side by side.
    capacity: most epochs in a chunk.
    arrangement: of the members of one device: `map` (one after the other) or `vmap` (in one batch); see `prefer_map`,
      which decides when `None`.
    devices: over which members are spread, at most one each; all local ones when `None`.
  """

  def __init__(
    self,
    env: Environment,
    config: Config,
    num_members: int,
    capacity: int,
    arrangement: str | None = None,
    devices: list[jax.Device] | None = None,
  ):
    self.num_members = num_members
    self.capacity = capacity
    self._devices = member_devices(num_members) if devices is None else devices[:num_members]
    self.arrangement = arrangement or ("map" if prefer_map(self._devices) else "vmap")
    # Devices get equal shares; the rows that fill the last share repeat the last member and are never shown.
    self._rows = -(-num_members // len(self._devices)) * len(self._devices)
    epochs = make_epochs(env, config)
    # On a CPU never in one batch: JAX spreads a batched QR factorisation (orthogonal initialisation) over the thread
    # pool that devices run on, and waits in it; two devices that do so wait for each other for ever.
    initialize = jax.lax.map if prefer_map(self._devices) else _vmap_over_tuple
    mesh = Mesh(np.asarray(self._devices), ("member",))
    self._sharding = NamedSharding(mesh, PartitionSpec("member"))
    self.config = self._stack(config)

    def sharded(function, *specs):
      members = PartitionSpec("member")
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

    def evaluate_members(num_episodes, keys, policies, configs):
      return jax.lax.map(lambda member: evaluate_member(env, num_episodes, *member), (keys, policies, configs))

    def evaluate_shards(keys, policies, configs, num_episodes):
      shards = sharded(functools.partial(evaluate_members, num_episodes), members, members, members)
      return shards(keys, policies, configs)

    members = PartitionSpec("member")
    self._init = jax.jit(sharded(init, members, members))
    self._advance = jax.jit(sharded(advance, members, members, members), donate_argnums=0)
    self._evaluate = jax.jit(evaluate_shards, static_argnums=3)
    self._compiled = None

  def init(self, seeds: list[int]) -> TrainingState:
    """States before the first epoch; leading axis is the (filled up) member axis."""
    seeds = seeds + [seeds[-1]] * (self._rows - len(seeds))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    return self._init(self._place(keys), self.config)

  def place(self, states: TrainingState) -> TrainingState:
    """Puts states that were read back, `[num_members]`, where the compiled functions want them."""
    return self._place(jax.tree.map(self._fill, states))

  def abstract_states(self) -> TrainingState:
    """Shapes, types and places of the states, with nothing computed."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), self._rows))
    states = jax.eval_shape(self._init, keys, self.config)
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=self._sharding), states)

  def compile(self, states: TrainingState) -> None:
    """Compiles `advance`, so that its time can be told apart; `states` may be the abstract ones."""
    self._compiled = self._advance.lower(states, self.config, self._epochs_of_rows(0, None)).compile()

  def reuse(self, config: Config, num_members: int) -> "Members":
    """The same compiled programs for other members.

    Args:
      config: of the same structure; real numbers are scalars, or arrays with leading axis `[num_members]`.
      num_members: at most as many as there are here.
    """
    members = copy.copy(self)
    members.num_members = num_members
    members.config = members._stack(config)
    return members

  @property
  def num_devices(self) -> int:
    """Devices that members are spread over."""
    return len(self._devices)

  @property
  def is_compiled(self) -> bool:
    """Whether `launch` may be called."""
    return self._compiled is not None

  @property
  def program_bytes(self) -> dict[str, int]:
    """Memory of the compiled chunk on one device; see `memory.program_bytes`."""
    return memory.program_bytes(self._compiled)

  def launch(
    self, states: TrainingState, num_epochs: int, frozen: np.ndarray | None = None
  ) -> tuple[TrainingState, "PendingMetrics"]:
    """Starts `num_epochs` epochs and returns at once; the states given are consumed.

    Args:
      states: of the members.
      num_epochs: at most `capacity`.
      frozen: members that stay as they are, `[num_members]`; their metrics mean nothing. None when `None`.

    Returns:
      States after the epochs, and metrics to `fetch`, both still being computed.
    """
    states, metrics = self._compiled(states, self.config, self._epochs_of_rows(num_epochs, frozen))
    return states, PendingMetrics(metrics, num_epochs)

  def fetch(self, pending: "PendingMetrics") -> dict[str, np.ndarray]:
    """Waits for a launch; each metric as an array `[num_members, num_epochs]`."""
    metrics = jax.device_get(pending.metrics)
    return {name: values[: self.num_members, : pending.num_epochs] for name, values in metrics.items()}

  def evaluate(self, states: TrainingState, num_episodes: int, of_best: bool = False) -> np.ndarray:
    """Returns of the mean action on fresh episodes, `[num_members, num_episodes]`; see `evaluation.evaluate`.

    Args:
      states: of the members.
      num_episodes: number of episodes; the same ones for the best policy and the last.
      of_best: evaluate the best policy, not the last.
    """
    policies = states.best_policy if of_best else states.policy
    return jax.device_get(self._evaluate(states.key, policies, self.config, num_episodes))[: self.num_members]

  def gather(self, states: TrainingState) -> TrainingState:
    """States without the filling rows, on the host's default device."""
    # Copied first: slicing sharded arrays would make the devices wait for each other, which XLA gives up after a while
    # on a busy CPU.
    return jax.tree.map(lambda leaf: jax.device_put(leaf, self._devices[0])[: self.num_members], states)

  def _place(self, tree: PyTree) -> PyTree:
    return jax.device_put(tree, self._sharding)

  def _stack(self, config: Config) -> Config:
    rows = jax.tree.map(lambda leaf: self._fill(jnp.broadcast_to(leaf, (self.num_members,))), traced(config))
    return self._place(rows)

  def _epochs_of_rows(self, num_epochs: int, frozen: np.ndarray | None) -> jax.Array:
    epochs = np.zeros(self._rows, np.int32)  # the filling rows make no epoch
    epochs[: self.num_members] = num_epochs if frozen is None else np.where(frozen, 0, num_epochs)
    return self._place(epochs)

  def _fill(self, leaf: jax.Array) -> jax.Array:
    filling = [leaf[-1:]] * (self._rows - leaf.shape[0])
    return jnp.concatenate([leaf, *filling]) if filling else leaf


def _vmap_over_tuple(function, members):
  return jax.vmap(lambda *member: function(member))(*members)


def _where(condition, new, old):
  return jax.tree.map(functools.partial(jnp.where, condition), new, old)
