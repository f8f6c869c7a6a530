"""Brax's physics pipelines behind two functions, `init` and `advance`; imports Brax only when a model is loaded.

The control step is 1/60 s on every backend. It is divided into the fewest equal substeps that are no longer than the
time step Brax's own environment of that model uses on that backend.
"""

import dataclasses
import functools
import importlib
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.envs.base import PyTree
from gippo_jax.envs.third_party import quiet_brax, standard_promotion, traced_once

Array = jax.Array

BACKENDS = ("spring", "generalized", "positional", "mjx")
CONTROL_STEP = 1.0 / 60.0


@dataclasses.dataclass(frozen=True)
class Model:
  """A mechanism and how its backends want it.

  Attributes:
    file: name of an MJCF file beside this module or in `brax.envs.assets`.
    time_step: longest substep on `generalized` and `mjx`, s.
    maximal_time_step: longest substep on `spring` and `positional`, s, whose coordinates are maximal.
    spring_gear: torque of each actuator at action 1 on `spring`, N m; the file's when `None`.
    positional_gear: likewise on `positional`.
  """

  file: str
  time_step: float
  maximal_time_step: float
  spring_gear: tuple[float, ...] | None = None
  positional_gear: tuple[float, ...] | None = None


class Coordinates(struct.PyTreeNode):
  """What `generalized` and `mjx` carry from step to step.

  Attributes:
    q: positions; quaternions are `w, x, y, z`.
    qd: velocities.
    warm_start: accelerations that mjx's solver starts from; `None` on `generalized`.
  """

  q: Array
  qd: Array
  warm_start: Array | None


def _promoting(function):
  """Lets Brax mix dtypes and ranks, whatever the user's settings; they hold again outside."""

  @functools.wraps(function)
  def wrapped(*args):
    with standard_promotion():
      return function(*args)

  return wrapped


@dataclasses.dataclass(frozen=True, eq=False)
class Engine:
  """A loaded model with the pipeline that moves it.

  Attributes:
    system: Brax's `System`, its time step already the substep.
    backend: one of `BACKENDS`.
    substeps: in a control step.
    largest_control: what action 1 is to each actuator.
  """

  system: Any
  backend: str
  substeps: int
  largest_control: Array

  @property
  def _pipeline(self):
    return importlib.import_module(f"brax.{self.backend}.pipeline")

  @traced_once
  @_promoting
  def init(self, q: Array, qd: Array) -> PyTree:
    """The state to carry, with at least `q` and `qd`, for positions and velocities of the joints.

    On `generalized` and `mjx` it is those alone, so that a reset costs nothing: a substep begins by what Brax computes
    at the end of the substep before.
    """
    if self.backend == "generalized":
      return Coordinates(q, qd, None)
    if self.backend == "mjx":
      return Coordinates(q, qd, jnp.zeros_like(qd))
    return self._strip(self._pipeline.init(self.system, q, qd))

  @traced_once
  @_promoting
  def advance(self, carried: PyTree, action: Array) -> PyTree:
    """The state one control step later, the action held.

    Args:
      carried: from `init` or `advance`.
      action: in [-1, 1], `[action_size]`.
    """
    substep = {
      "generalized": self._generalized_substep,
      "mjx": self._mjx_substep,
      "spring": self._maximal_substep,
      "positional": self._maximal_substep,
    }[self.backend]
    control = action * self.largest_control
    carried, _ = jax.lax.scan(lambda state, _: (substep(state, control), None), carried, length=self.substeps)
    return carried

  @_promoting
  def link_poses(self, q: Array) -> tuple[Array, Array]:
    """Positions `[links, 3]` in m and orientations `[links, 4]` of all links."""
    from brax import kinematics

    x, _ = kinematics.forward(self.system, q, jnp.zeros(self.system.qd_size()))
    return x.pos, x.rot

  def _maximal_substep(self, carried, control):
    mass = self.system.link.inertia.mass ** (1 - self.system.spring_mass_scale)
    return self._strip(self._pipeline.step(self.system, carried.replace(mass=mass), control))

  def _strip(self, state):
    """Without what is constant or computed anew before it is read."""
    return state.replace(mass=None, i_inv=None) if self.backend == "spring" else state.replace(mass=None)

  def _generalized_substep(self, carried, control):
    from brax import actuator
    from brax.generalized import constraint, dynamics, integrator

    state = self._pipeline.init(self.system, carried.q, carried.qd)
    torque = actuator.to_tau(self.system, control, state.q, state.qd)
    state = state.replace(qf_smooth=dynamics.forward(self.system, state, torque))
    state = state.replace(qf_constraint=constraint.force(self.system, state))
    state = integrator.integrate(self.system, state)
    return Coordinates(state.q, state.qd, None)

  def _mjx_substep(self, carried, control):
    from mujoco import mjx

    data = mjx.make_data(self.system)
    data = data.replace(qpos=carried.q, qvel=carried.qd, qacc_warmstart=carried.warm_start, ctrl=control)
    data = mjx.step(self.system, data)
    return Coordinates(data.qpos, data.qvel, data.qacc_warmstart)


def load(model: Model, backend: str) -> Engine:
  """The engine of a model, loaded once per dtype."""
  return _load(model, backend, jnp.zeros(()).dtype.name)


@functools.cache
def _load(model, backend, dtype):
  del dtype  # part of the key: the loaded arrays have it
  # A first use inside a traced function must not leave its tracers in the cache.
  with jax.ensure_compile_time_eval(), quiet_brax(), standard_promotion():
    return _configure(model, backend)


def _configure(model, backend):
  import brax
  import mujoco
  from brax.io import mjcf

  own = pathlib.Path(__file__).parent / model.file
  system = mjcf.load(own if own.exists() else pathlib.Path(brax.__file__).parent / "envs" / "assets" / model.file)
  maximal = backend in ("spring", "positional")
  longest = model.maximal_time_step if maximal else model.time_step
  substeps = math.ceil(CONTROL_STEP / longest - 1e-9)
  changes = {"opt.timestep": CONTROL_STEP / substeps}
  if backend == "mjx":
    # A single iteration needs no `while_loop`, which has no reverse mode. The rest is Brax's own choice for mjx.
    changes |= {
      "opt.solver": mujoco.mjtSolver.mjSOL_NEWTON,  # pyright: ignore[reportAttributeAccessIssue]
      "opt.disableflags": mujoco.mjtDisableBit.mjDSBL_EULERDAMP,  # pyright: ignore[reportAttributeAccessIssue]
      "opt.iterations": 1,
      "opt.ls_iterations": 4,
    }
  system = system.tree_replace(changes)
  largest_control = system.actuator.ctrl_range[:, 1]  # pyright: ignore[reportAttributeAccessIssue]
  # Actions arrive clipped; clipping them again would halve the derivative at exactly -1 and 1.
  unlimited = jnp.full_like(system.actuator.ctrl_range, jnp.inf) * jnp.array([-1.0, 1.0])  # pyright: ignore[reportAttributeAccessIssue]
  actuators = system.actuator.replace(ctrl_range=unlimited)  # pyright: ignore[reportAttributeAccessIssue]
  gear = {"spring": model.spring_gear, "positional": model.positional_gear}.get(backend)
  if gear is not None:
    actuators = actuators.replace(gear=jnp.asarray(gear, unlimited.dtype))
  return Engine(system.replace(actuator=actuators), backend, substeps, largest_control)
