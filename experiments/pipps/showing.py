"""Shows a learned swing-up, by the pictures of `envs.physics.cartpole_rendering`."""

import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs import viewer
from gippo_jax.envs.base import State, Trajectory
from gippo_jax.envs.physics import cartpole_rendering
from gippo_jax.envs.physics.cartpole import CartpolePhysics
from gippo_jax.experiments.pipps import cartpole
from gippo_jax.experiments.pipps.cartpole import RadialBasis
from gippo_jax.experiments.pipps.learning import play
from gippo_jax.plain import Plain

if TYPE_CHECKING:
  from matplotlib.axes import Axes


class Shown:
  """The cart-pole of PIPPS as pictures know it (`envs.base.Renderable`); its episodes are those of `recorded`."""

  half_length = cartpole.HALF_LENGTH
  time_step = 0.01
  figure_size = (4.8, 3.2)

  def page(self, trajectory: Trajectory, title: str) -> str:
    """An HTML page that plays the episode."""
    return viewer.page(cartpole_rendering.scene(self, trajectory, title))

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    """Draws one state on empty matplotlib axes."""
    cartpole_rendering.draw(self, axes, trajectory, step)


def policy_of(record: Plain) -> RadialBasis:
  """The policy in a run's record."""
  return RadialBasis(**{name: jnp.asarray(leaf) for name, leaf in record["policy"].items()})


def recorded(policy: RadialBasis, key: jax.Array, num_steps: int) -> Trajectory:
  """An episode on the true physics, a state for every hundredth of a second; the reward is less its cost.

  Args:
    policy: pushes, once in a tenth of a second.
    key: of start and noise.
    num_steps: of a tenth of a second.
  """
  episode = jax.jit(functools.partial(play, horizon=num_steps))(policy, key)
  between = jax.vmap(cartpole.passage)(episode.states[:-1], episode.pushes)
  states = jnp.concatenate([episode.states[:1], jnp.reshape(between, (-1, cartpole.STATE_SIZE))])
  position, angle, velocity, angular_velocity = states.T
  rewards = -cartpole.cost(states) * (Shown.time_step / cartpole.PERIOD)
  zero = jnp.zeros(len(states))
  # Here a positive angle leans against the direction of a positive position.
  physics = CartpolePhysics(position, -angle, velocity, -angular_velocity)
  pushes = np.repeat(np.asarray(episode.pushes), between.shape[1])[:, None]
  return Trajectory(jax.device_get(State(physics, states, rewards, zero, zero)), pushes, np.asarray(rewards[1:]))
