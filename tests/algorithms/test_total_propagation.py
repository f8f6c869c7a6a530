"""Total propagation: its ends are RP and LR, its mean is the gradient, and it passes where one of the two explodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax import envs
from gippo_jax.algorithms import tp
from gippo_jax.algorithms.rp import collect_with_return_gradient, reparameterized_loss
from gippo_jax.config import traced
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.errors import UserError
from gippo_jax.learning import gaussian
from gippo_jax.learning.mixers import second_share, total_variance
from gippo_jax.learning.output_gradients import likelihood_ratio
from gippo_jax.learning.rollout import collect_with_states
from gippo_jax.learning.setup import make_setup
from gippo_jax.learning.total_propagation import Steps, by_parameter_variance, constant, sweep
from gippo_jax.programs.epochs import make_epochs
from tests import configs
from tests.algorithms.settings import epoch

PROBES = [LinearQuadratic(start_noise=0.3, episode_length=5), envs.make("point_mass", dimension=2, episode_length=5)]
SMALL = {
  "num_envs": 4,
  "horizon": 8,
  "discount": 0.95,
  "gae_lambda": 0.9,
  "tp": {"gae_lambda": 0.8},
  "actor": {"units": (8,)},
  "critic": {"units": (8,), "num_iterations": 1},
}


@pytest.fixture(scope="module", params=PROBES, ids=["linear-quadratic", "point mass"])
def swept(request):
  """Setup, state, noise, window, steps, sweeps; several episodes in a window, and a critic that was moved."""
  config = traced(configs.config_of("tp", **SMALL))
  setup = make_setup(request.param, config)
  state = jax.jit(make_epochs(request.param, config).init)(jax.random.key(3), config)
  moved = jax.tree.map(lambda leaf: leaf + 0.2 * np.random.default_rng(0).normal(size=leaf.shape), state.critic)
  state = state.replace(target_critic=moved)
  noise = jax.random.normal(jax.random.key(4), (8, 4, request.param.action_size))
  gae_lambda = config.tp.gae_lambda

  @jax.jit
  def roll(state, noise):
    _, window, states = collect_with_states(setup, state, noise)
    return window, states, tp.make_steps(setup, window, states, gae_lambda)

  window, states, steps = roll(state, noise)
  sweep_with = jax.jit(lambda weight: tp.sweep_window(setup, state, window, states, gae_lambda, constant(weight)))
  return setup, state, noise, window, steps, {weight: sweep_with(weight) for weight in (0.0, 1.0)}


def test_without_the_likelihood_ratio_it_is_rp(swept):
  setup, state, noise, _, _, sweeps = swept

  @jax.jit
  def by_rp(state, noise):
    _, window, return_gradient, _ = collect_with_return_gradient(setup, state, noise, setup.config.tp.gae_lambda)
    arguments = (window.observation, window.noise, return_gradient)
    return jax.grad(lambda actor: -reparameterized_loss(setup.networks, actor, *arguments))(state.actor)

  expected = ravel_pytree(by_rp(state, noise))[0] / setup.config.num_envs
  found = ravel_pytree(sweeps[0.0].gradient)[0]
  assert np.max(np.abs(expected)) > 1e-3
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
  np.testing.assert_array_equal(sweeps[0.0].weight, 0.0)


def test_without_the_derivatives_it_is_the_likelihood_ratio(swept):
  setup, state, _, window, steps, sweeps = swept
  # The advantages that the messages were made of, by their own definition.
  reward, value, next_value, done = (
    np.asarray(x) for x in (window.reward, window.value, window.next_value, window.done)
  )
  discount, gae_lambda = 0.95, 0.8
  advantage, following = np.zeros_like(reward), np.zeros(reward.shape[1])
  for t in reversed(range(len(reward))):
    following = reward[t] + discount * next_value[t] - value[t] + discount * gae_lambda * (1 - done[t]) * following
    advantage[t] = following
  others = (advantage.sum(1, keepdims=True) - advantage) / (advantage.shape[1] - 1)

  def objective(actor):
    mean, log_std = setup.networks.policy(actor, window.observation)
    log_prob = gaussian.log_prob(mean, log_std, window.action)
    return jnp.sum(steps.scale * (advantage - others) * log_prob) / setup.config.num_envs

  expected = ravel_pytree(jax.jit(jax.grad(objective))(state.actor))[0]
  found = ravel_pytree(sweeps[1.0].gradient)[0]
  assert np.max(np.abs(expected)) > 1e-3
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_step_counts_by_the_discounts_before_it(swept):
  _, _, _, window, steps, _ = swept
  age = np.zeros(4)
  for t, starts in enumerate(np.asarray(window.segment_start)):
    age = np.where(starts > 0, 0, age + 1)
    np.testing.assert_allclose(steps.scale[t], 0.76**age, rtol=1e-12)


# The scalar chain x' = L x + a, a = theta + s eps, x_0 = 0, loss x_h^2 / 2: with S = sum of L^k and
# v = s^2 sum of L^2k over k < h, and m = theta S, the derivative by theta is m S.
CHAIN = {"L": 1.1, "theta": 0.2, "s": 0.1, "h": 10}


def chain(noise, mixer):
  """Sweep of the chain; one particle a column of `noise`, `[h, N]`."""
  slope, std = CHAIN["L"], CHAIN["s"]
  actions = CHAIN["theta"] + std * noise
  states, last = [], jnp.zeros(noise.shape[1])
  for action in actions:
    states.append(last)
    last = slope * last + action
  loss = 0.5 * last**2
  log_std = jnp.log(std)
  steps = Steps(
    dynamics=None,
    obs=jnp.stack(states)[..., None],
    noise=noise[..., None],
    likelihood_ratio=likelihood_ratio(jnp.broadcast_to(loss, noise.shape), noise[..., None]),
    scale=jnp.ones_like(noise),
  )

  def outputs(theta, obs):
    return jnp.broadcast_to(theta, obs.shape), jnp.broadcast_to(log_std, obs.shape)

  def dynamics(message, _):
    return slope * message, message

  return sweep(jnp.asarray(CHAIN["theta"]), outputs, dynamics, jnp.add, last[:, None], steps, mixer)


def moments():
  powers = CHAIN["L"] ** np.arange(CHAIN["h"])
  return np.sum(powers), CHAIN["s"] ** 2 * np.sum(powers**2)


@pytest.mark.parametrize(
  "mixer", [constant(0.0), constant(1.0), constant(0.3), by_parameter_variance], ids=["rp", "lr", "0.3", "tp"]
)
def test_every_mixture_has_the_gradient_as_its_mean(mixer):
  total, _ = moments()
  noise = jax.random.normal(jax.random.key(0), (400, CHAIN["h"], 50))
  found = jax.jit(jax.vmap(lambda noise: chain(noise, mixer).gradient))(noise)
  error = np.std(found) / np.sqrt(len(found))
  assert abs(np.mean(found) - CHAIN["theta"] * total**2) < 3.5 * error
  assert error < 0.2 * CHAIN["theta"] * total**2


def test_the_variance_of_rp_is_that_of_the_closed_form():
  """`S^2 v` of one particle."""
  total, variance = moments()
  noise = jax.random.normal(jax.random.key(1), (2000, CHAIN["h"], 20))
  found = jax.jit(jax.vmap(lambda noise: chain(noise, constant(0.0)).gradient))(noise)
  np.testing.assert_allclose(np.var(found) * 20, total**2 * variance, rtol=0.1)


def test_where_the_derivatives_explode_the_likelihood_ratio_takes_over():
  """A map of which a step's derivative is a thousand and its value in [-1, 1]; the last action alone is clean."""

  def run(noise):
    actions = 0.1 * noise
    states, last = [], jnp.zeros(noise.shape[1])
    for action in actions:
      states.append(last)
      last = jnp.sin(1000.0 * last + action)
    advantage = jnp.broadcast_to(last, noise.shape)
    steps = Steps(
      dynamics=(jnp.stack(states), actions),
      obs=jnp.stack(states)[..., None],
      noise=noise[..., None],
      likelihood_ratio=likelihood_ratio(advantage, noise[..., None]),
      scale=jnp.ones_like(noise),
    )

    def outputs(theta, obs):
      return theta + 0.0 * obs, jnp.full_like(obs, jnp.log(0.1))

    def dynamics(message, step):
      state, action = step
      slope = jnp.cos(1000.0 * state + action)[:, None]
      return 1000.0 * slope * message, slope * message

    return steps, outputs, dynamics, jnp.ones((noise.shape[1], 1))

  noise = jax.random.normal(jax.random.key(2), (200, 6, 40))

  def gradient(noise, *options):
    steps, outputs, dynamics, message = run(noise)
    return sweep(jnp.zeros(()), outputs, dynamics, jnp.add, message, steps, *options)

  mixed = jax.jit(jax.vmap(gradient))(noise)
  with_weight = jax.jit(lambda weight: jax.vmap(lambda noise: gradient(noise, constant(weight)).gradient)(noise))
  spread = {"rp": np.var(with_weight(0.0)), "lr": np.var(with_weight(1.0))}
  assert spread["rp"] > 1e6 * spread["lr"]
  assert np.var(mixed.gradient) < 1.2 * spread["lr"]
  weights = np.mean(mixed.weight, axis=0)
  assert weights[-1] < 0.1
  assert np.all(weights[:-1] > 0.9)


def test_a_message_that_is_no_number_is_dropped_and_counted():
  noise = jax.random.normal(jax.random.key(3), (CHAIN["h"], 8))
  sweep_chain = jax.jit(lambda noise: chain(noise, constant(0.0)))
  whole = sweep_chain(noise)
  broken = noise.at[4, 2].set(jnp.nan)
  found = sweep_chain(broken)
  assert np.all(np.asarray(whole.dropped) == 0.0)
  assert np.max(found.dropped) == pytest.approx(1 / 8)


def test_the_share_of_the_second_needs_no_unit():
  for unit in (1e-30, 1.0, 1e30):
    np.testing.assert_allclose(second_share(jnp.asarray(3.0 * unit), jnp.asarray(unit)), 0.75)
  assert second_share(jnp.zeros(()), jnp.zeros(())) == 0.5
  assert second_share(jnp.asarray(jnp.inf), jnp.ones(())) == 0.5


def test_of_two_independent_estimates_the_mixture_has_the_inverse_of_the_inverses_sum():
  """`1 / (1 / v_rp + 1 / v_lr)`, and no other weight has less."""
  pathwise, other = 3.0, 0.5

  def left(weight):
    return (1.0 - weight) ** 2 * pathwise + weight**2 * other

  best = float(second_share(jnp.asarray(pathwise), jnp.asarray(other)))
  np.testing.assert_allclose(left(best), 1.0 / (1.0 / pathwise + 1.0 / other))
  assert left(best) < min(left(best - 0.01), left(best + 0.01))
  drawn = np.random.default_rng(0).normal(size=(2, 100_000)) * np.sqrt([[pathwise], [other]])
  np.testing.assert_allclose(np.var((1.0 - best) * drawn[0] + best * drawn[1]), left(best), rtol=0.03)


def test_a_message_whose_square_is_no_number_leaves_the_likelihood_ratio_alone():
  other = jnp.asarray([[1.0], [-2.0], [0.5]])
  usable = jnp.ones(3, bool)
  assert by_parameter_variance(1e200 * other, other, usable, total_variance) == 1.0
  assert by_parameter_variance(other, 1e200 * other, usable, total_variance) == 0.0
  assert by_parameter_variance(0.0 * other, 0.0 * other, usable, total_variance) == 0.5


def test_one_environment_alone_has_no_variance():
  with pytest.raises(
    UserError, match=r"config\.num_envs: 1 is not allowed with the algorithm 'tp'; allowed: at least 2"
  ):
    configs.config_of("tp", **(SMALL | {"num_envs": 1}))


def test_a_window_of_one_step_is_mixed_once():
  """Functions have no other; their table has a row of it."""
  _, metrics = epoch("tp", horizon=1)
  assert 0.0 < metrics["tp_likelihood_ratio_share"] < 1.0
