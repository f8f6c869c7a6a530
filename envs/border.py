"""The border between an environment and everything else: checked once, cast at every step.

What an environment returns is looked at by `jax.eval_shape`, which computes nothing. Observations, rewards and flags
become the default float type; what is ambiguous is refused, in a line that says which member is wrong.
"""

import collections
import dataclasses

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import Environment, PyTree, State

_MEMBERS = ("observation_size", "action_size", "episode_length", "differentiable", "reset", "step")
_SIZES = ("observation_size", "action_size", "episode_length")
_FIELDS = ("physics", "obs", "reward", "terminated", "truncated")
_LARGEST = 2**31 - 1


# Environments that were found good; few, and compared by identity, for they need be neither hashable nor comparable.
_checked: collections.deque[Environment] = collections.deque(maxlen=16)


def check(env: Environment) -> None:
  """Checks that an environment keeps the contract of `base.Environment`; the same object only once.

  Args:
    env: unbatched. What its own `reset` and `step` raise passes through.

  Raises:
    ValueError: naming the member that is missing or wrong, and what is allowed.
  """
  if any(env is seen for seen in _checked):
    return
  name = name_of(env)
  missing = [member for member in _MEMBERS if not hasattr(env, member)]
  if missing:
    raise ValueError(
      f"env.name: {name} is not an environment: it has no {', '.join(missing)}; allowed: {', '.join(_MEMBERS)}"
    )
  for member in _SIZES:
    size = getattr(env, member)
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _LARGEST:
      raise ValueError(f"env.name: {member} of {name} is {size!r}; allowed: an integer from 1 to {_LARGEST}")
  key = jax.eval_shape(lambda: jax.random.key(0))
  start = jax.eval_shape(lambda key: _as_state(name, env.reset(key), "reset"), key)
  _check_state(env, start, "reset")
  action = jax.ShapeDtypeStruct((env.action_size,), _float_type())
  before = jax.eval_shape(_cast, start)
  reached = jax.eval_shape(lambda state, action: _as_state(name, env.step(state, action), "step"), before, action)
  _check_state(env, reached, "step")
  _check_physics(name, start.physics, reached.physics)
  _checked.append(env)


def name_of(env: Environment) -> str:
  """What messages call an environment."""
  return str(getattr(env, "name", None) or type(env).__name__)


@dataclasses.dataclass(frozen=True)
class Cast:
  """An environment whose observations, rewards and flags have the default float type, whatever it returns.

  Flags count as raised where they are not 0.
  """

  env: Environment

  def reset(self, key: jax.Array) -> State:
    return _cast(self.env.reset(key))

  def step(self, state: State, action: jax.Array) -> State:
    return _cast(self.env.step(state, action), like=state.physics)


def _cast(state: State, like: PyTree = None) -> State:
  """A state of any class with the right members; its physics keeps the types that it had before the step."""
  # A Python number, or one of weak type, is what it was before.
  physics = jax.tree.map(_settled, state.physics, state.physics if like is None else like)
  return State(
    physics=physics,
    obs=jnp.asarray(state.obs, _float_type()),
    reward=_scalar(state.reward),
    terminated=_flag(state.terminated),
    truncated=_flag(state.truncated),
  )


def _settled(leaf: PyTree, before: PyTree) -> jax.Array:
  leaf, dtype = jnp.asarray(leaf), jnp.asarray(before).dtype
  if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):  # random keys
    return leaf
  return jax.lax.convert_element_type(leaf, dtype)  # strong, whatever it was


def _scalar(value: PyTree) -> jax.Array:
  return jnp.reshape(jnp.asarray(value, _float_type()), ())


def _flag(value: PyTree) -> jax.Array:
  return jnp.reshape(jnp.asarray(value).astype(bool), ()).astype(_float_type())


def _float_type() -> jnp.dtype:
  return jnp.zeros(()).dtype


def _as_state(name: str, state: PyTree, member: str) -> State:
  """What an environment returned, which may be of any class, as a pytree."""
  missing = [field for field in _FIELDS if not hasattr(state, field)]
  if missing:
    raise ValueError(
      f"env.name: {member} of {name} returned {type(state).__name__}, which has no {', '.join(missing)}; allowed: an "
      f"object with {', '.join(_FIELDS)}, such as gippo_jax.envs.State"
    )
  return State(*(getattr(state, field) for field in _FIELDS))


def _check_state(env: Environment, state: State, member: str) -> None:
  name = f"{member} of {name_of(env)}"
  obs = state.obs
  if not hasattr(obs, "shape"):
    raise ValueError(f"env.name: the obs of {name} is a {type(obs).__name__}; allowed: a vector of observation_size")
  if tuple(obs.shape) != (env.observation_size,):
    raise ValueError(
      f"env.name: the obs of {name} has shape {tuple(obs.shape)}; allowed: ({env.observation_size},), its "
      "observation_size"
    )
  if not _is_number(obs):
    raise ValueError(f"env.name: the obs of {name} is of type {obs.dtype}; allowed: numbers")
  for field in ("reward", "terminated", "truncated"):
    value = getattr(state, field)
    if not hasattr(value, "shape") or tuple(value.shape) not in ((), (1,)) or not _is_number(value):
      what = f"of shape {tuple(value.shape)} and type {value.dtype}" if hasattr(value, "shape") else repr(value)
      raise ValueError(f"env.name: the {field} of {name} is {what}; allowed: one number")


def _is_number(value: jax.Array) -> bool:
  return jnp.issubdtype(value.dtype, jnp.number) or value.dtype == bool


def _check_physics(name: str, start: PyTree, reached: PyTree) -> None:
  before, after = (dict(jax.tree_util.tree_flatten_with_path(tree)[0]) for tree in (start, reached))
  if jax.tree.structure(start) != jax.tree.structure(reached):
    differing = [path for path in [*before, *after] if path not in before or path not in after]
    where = f", which differ in {jax.tree_util.keystr(differing[0])}" if differing else ""
    raise ValueError(
      f"env.name: reset and step of {name} return physics of different structure{where}; allowed: the same one"
    )
  for path, one in before.items():
    other = after[path]
    kinds_differ = one.dtype != other.dtype and not (one.weak_type or other.weak_type)
    if tuple(one.shape) != tuple(other.shape) or kinds_differ or _loses(other.dtype, one.dtype):
      shown = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in (one, other)]
      raise ValueError(
        f"env.name: physics{jax.tree_util.keystr(path)} of {name} is {shown[0]} after reset and {shown[1]} after step; "
        "allowed: the same shape and type"
      )


def _loses(new: jnp.dtype, old: jnp.dtype) -> bool:
  """Whether numbers of a type would be rounded to another kind of number."""
  return jnp.issubdtype(new, jnp.floating) and not jnp.issubdtype(old, jnp.floating)
