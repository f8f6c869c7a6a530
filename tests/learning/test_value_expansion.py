"""Expansions through exact models against closed forms, and what is taken of recorded steps."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.learning import gaussian
from gippo_jax.learning.value_expansion import Agent, Recorded, expand

PROBE = LinearQuadratic(decay=0.8, gain=0.5, action_cost=0.2, start=0.7)
DISCOUNT = 0.9
POLICY = {"gain": jnp.asarray(-0.3), "offset": jnp.asarray(0.1), "log_std": jnp.asarray(-0.7)}


def policy_of(params):
  def policy(obs):
    mean = params["offset"] + params["gain"] * obs
    return mean, jnp.broadcast_to(params["log_std"], mean.shape)

  return policy


def unsquashed(step):
  """A model of the action before the tanh, as the probe's is."""
  return lambda obs, action: step(obs, jnp.arctanh(action))


def chain(obs, action):
  position = PROBE.decay * obs + PROBE.gain * action
  return position, -jnp.sum(position**2, axis=-1) - PROBE.action_cost * jnp.sum(action**2, axis=-1)


def nothing(obs, action):
  del action
  return jnp.zeros(obs.shape[:-1])


def agent_of(params, predict=None, value=nothing, alpha=0.0, discount=DISCOUNT):
  return Agent(policy_of(params), predict or unsquashed(chain), value, discount, alpha)


def nodes_of(num_noises):
  """Noises `[num_noises, B, 1]` and weights `[B]` that integrate polynomials of degree 5 in each noise exactly."""
  points, weights = np.polynomial.hermite_e.hermegauss(3)
  grid = np.asarray(list(itertools.product(points, repeat=num_noises)))
  weight = np.prod(list(itertools.product(weights / weights.sum(), repeat=num_noises)), axis=1)
  return jnp.asarray(grid.T[..., None]), jnp.asarray(weight)


def expected(params, horizon, **options):
  """`E[J_h]` over all noises, from the probe's start."""
  noise, weight = nodes_of(horizon + 1)
  start = jnp.full((len(weight), 1), PROBE.start)
  return jnp.sum(weight * expand(agent_of(params, **options), start, noise).total)


@pytest.mark.parametrize("horizon", [1, 4])
def test_through_a_linear_model_the_gradient_is_the_analytic_one(horizon):
  """Quadratic rewards, a Gaussian policy without feedback: `LinearQuadratic.policy_gradient`."""
  mean, std = 0.3, 0.4
  params = {"gain": jnp.asarray(0.0), "offset": jnp.asarray(mean), "log_std": jnp.log(std)}
  found = jax.jit(jax.grad(lambda params: expected(params, horizon)))(params)
  by_mean, by_std = PROBE.policy_gradient(mean, std, DISCOUNT, horizon)
  np.testing.assert_allclose([found["offset"], found["log_std"]], [by_mean, std * by_std], rtol=1e-9)


def exact_action_value(params):
  """`Q^pi(s, a)` of the linear policy: `V^pi(s) = p s^2 + q s + c` solves Bellman's equation."""
  gain, offset, std = (float(x) for x in (params["gain"], params["offset"], jnp.exp(params["log_std"])))
  slope, push = PROBE.decay + PROBE.gain * gain, PROBE.gain * offset
  closed = DISCOUNT * slope**2
  p = -(slope**2 + PROBE.action_cost * gain**2) / (1 - closed)
  weight = DISCOUNT * p - 1.0  # of the squared position that is reached
  q = 2.0 * (weight * slope * push - PROBE.action_cost * gain * offset) / (1 - DISCOUNT * slope)
  variance = (PROBE.gain * std) ** 2
  c = weight * (push**2 + variance) + DISCOUNT * q * push - PROBE.action_cost * (offset**2 + std**2)
  c = c / (1 - DISCOUNT)

  def value(obs, action):
    reached, reward = chain(obs, action)
    return reward + DISCOUNT * jnp.sum(p * reached**2 + q * reached + c, axis=-1)

  return value


def test_with_an_exact_critic_a_step_more_adds_one_known_term():
  """`g_h - g_(h-1) = discount^h E[(dpi/dtheta)' grad_a Q(s_h, a_h)]`; the value itself does not depend on h."""
  exact = exact_action_value(POLICY)
  value = unsquashed(exact)
  totals, gradients = zip(
    *(jax.jit(jax.value_and_grad(lambda params, h=h: expected(params, h, value=value)))(POLICY) for h in (0, 1, 2)),
    strict=True,
  )
  np.testing.assert_allclose(totals, totals[0], rtol=1e-10)

  def term(params, h):
    """Only the policy's last call is differentiated."""
    noise, weight = nodes_of(h + 1)
    obs = jnp.full((len(weight), 1), PROBE.start)
    for eps in noise[:-1]:
      obs, _ = chain(obs, gaussian.sample(*policy_of(POLICY)(obs), eps))
    action = gaussian.sample(*policy_of(params)(obs), noise[-1])
    return DISCOUNT**h * jnp.sum(weight * exact(obs, action))

  for h in (1, 2):
    known = jax.jit(jax.grad(lambda params, h=h: term(params, h)))(POLICY)
    for name, slope in known.items():
      assert abs(slope) > 1e-3
      np.testing.assert_allclose(gradients[h][name] - gradients[h - 1][name], slope, rtol=1e-8)


def test_without_steps_it_is_the_gradient_of_soft_actor_critic():
  obs, noise = jnp.asarray([[0.3], [-0.8]]), jnp.asarray([[[0.5], [-1.1]]])

  def value(obs, action):
    return jnp.sum(jnp.sin(obs + 2.0 * action), axis=-1)

  def soft(params):
    mean, log_std = policy_of(params)(obs)
    action = mean + jnp.exp(log_std) * noise[0]
    return value(obs, jnp.tanh(action)) - 0.3 * gaussian.squashed_log_prob(mean, log_std, action)

  def expanded(params):
    return expand(agent_of(params, value=value, alpha=0.3), obs, noise).total

  found, wanted = (jax.jit(jax.jacobian(function))(POLICY) for function in (expanded, soft))
  for name, slope in wanted.items():
    np.testing.assert_allclose(found[name], slope, rtol=1e-12)


def record(noise, params=POLICY):
  """The simulator's own steps under given noises: where they begin, the record, and the pathwise gradient."""
  state = PROBE.reset(jax.random.key(0))

  def trajectory(params, eps):
    def step(state, eps):
      action = gaussian.sample(*policy_of(params)(state.obs), eps)
      state = PROBE.step(state, action)
      return state, (action, state.obs, state.reward)

    return jax.lax.scan(step, state, eps)[1]

  def total(params, eps):
    rewards = trajectory(params, eps)[2]
    return jnp.sum(DISCOUNT ** jnp.arange(float(len(eps))) * rewards)

  action, reached, reward = jax.vmap(trajectory, in_axes=(None, 1), out_axes=1)(params, noise)
  flags = jnp.zeros_like(reward)
  pathwise = jax.vmap(jax.grad(total), in_axes=(None, 1))(params, noise)
  start = jnp.broadcast_to(state.obs, (noise.shape[1], 1))
  return start, Recorded(noise, action, reached, reward, flags, flags), pathwise


NOISE = 0.8 * jax.random.normal(jax.random.key(1), (5, 6, 1))


@pytest.mark.parametrize("recorded", [False, True])
def test_with_the_true_model_each_sample_is_the_pathwise_gradient_of_the_simulator(recorded):
  """RP-DP on the simulator's noises, and RP-DR, which takes them from the record."""
  start, steps, pathwise = record(NOISE[:-1])
  noise = jnp.where(jnp.arange(5)[:, None, None] < 4, jnp.nan, NOISE) if recorded else NOISE
  found = jax.jit(
    jax.jacobian(lambda params: expand(agent_of(params), start, noise, steps if recorded else None).total)
  )(POLICY)
  for name, slopes in pathwise.items():
    assert np.min(np.abs(slopes)) > 1e-4
    np.testing.assert_allclose(found[name], slopes, rtol=1e-9)


def wrong(obs, action):
  return 3.0 * obs + jnp.exp(action), jnp.sum(obs, axis=-1)


def test_recorded_values_are_the_data_whatever_model_and_policy_say():
  start, steps, pathwise = record(NOISE[:-1])
  other = jax.tree.map(lambda leaf: leaf + 0.4, POLICY)

  def value(obs, action):
    return jnp.sum(obs, axis=-1) + 0.0 * jnp.sum(action, axis=-1)

  def total(params):
    return expand(agent_of(params, wrong, value), start, NOISE, steps).total

  discounts = DISCOUNT ** jnp.arange(4.0)
  plain = sum(discount * reward for discount, reward in zip(discounts, steps.reward, strict=True))
  np.testing.assert_allclose(jax.jit(total)(other), plain + DISCOUNT**4 * steps.reached[-1, :, 0], rtol=1e-14)
  found = jax.jit(jax.jacobian(total))(other)
  assert np.min(np.abs(found["offset"] - pathwise["offset"])) > 0.1


def test_a_policy_that_has_moved_on_keeps_the_recorded_noise():
  """Broken by inferring it: the deviation's slope is `a - mu`, which holds how far the mean has moved since."""
  start, steps, _ = record(NOISE[:1])
  moved = POLICY | {"offset": POLICY["offset"] + 5.0}

  def taken(obs, action):
    return obs, jnp.sum(jnp.arctanh(action), axis=-1)

  def slope(params):
    return jax.jacobian(lambda params: expand(agent_of(params, taken), start, NOISE[:2], steps).total)(params)[
      "log_std"
    ]

  np.testing.assert_allclose(slope(moved), jnp.exp(POLICY["log_std"]) * NOISE[0, :, 0], rtol=1e-12)


@pytest.mark.parametrize("spread", [1.0, 1e-9])
def test_the_entropy_is_the_present_policys(spread):
  """Broken by the record's: an action out of the present policy's reach tells of an entropy that it does not have.

  The slope by the deviation is 1 and nothing of the noise, also where the recorded action is a billion deviations away.
  """
  start, steps, _ = record(NOISE[:1])
  narrow = POLICY | {"log_std": POLICY["log_std"] + jnp.log(spread)}

  def wide(params):
    agent = agent_of(params, lambda obs, action: (obs, jnp.zeros(obs.shape[:-1])), alpha=1.0)
    return expand(agent, start, NOISE[:2], steps)

  mean, log_std = policy_of(narrow)(start)
  action = gaussian.sample(mean, log_std, NOISE[0])
  np.testing.assert_allclose(wide(narrow).entropy, -gaussian.squashed_log_prob(mean, log_std, action), rtol=1e-7)
  # Of the recorded action and of the drawn one behind it: 1 each, and that of the tanh's slope.
  slopes = jax.jacobian(lambda params: wide(params).total)(narrow)["log_std"]
  behind = gaussian.sample(*policy_of(narrow)(steps.reached[0]), NOISE[1])
  deviation = jnp.exp(narrow["log_std"])
  tanh = -2.0 * deviation * (jnp.tanh(steps.action[0]) * NOISE[0] + DISCOUNT * jnp.tanh(behind) * NOISE[1])
  np.testing.assert_allclose(slopes, 1.0 + DISCOUNT + tanh[:, 0], rtol=1e-12)


def test_behind_the_end_of_an_episode_stands_the_critic_or_nothing():
  start, steps, _ = record(NOISE[:-1])
  done = jnp.zeros_like(steps.done).at[1, :4].set(1.0).at[3, 4].set(1.0)
  terminal = jnp.zeros_like(done).at[1, 2:4].set(1.0)

  def value(obs, action):
    return 10.0 + jnp.sum(obs, axis=-1) + 0.0 * jnp.sum(action, axis=-1)

  @jax.jit
  def total(params, steps):
    return expand(agent_of(params, value=value), start, NOISE, steps).total

  found = total(POLICY, steps._replace(done=done, terminal=terminal))
  short = steps.reward[0] + DISCOUNT * steps.reward[1]
  np.testing.assert_allclose(found[:2], (short + DISCOUNT**2 * (10.0 + steps.reached[1, :, 0]))[:2], rtol=1e-12)
  np.testing.assert_allclose(found[2:4], short[2:4], rtol=1e-12)
  np.testing.assert_allclose(found[4:], total(POLICY, steps)[4:], rtol=1e-12)
  behind = steps._replace(reward=steps.reward.at[2:, :4].add(5.0), reached=steps.reached.at[2:, :4].add(5.0))
  slopes = jax.jit(jax.jacobian(total))
  gradient, other = (
    slopes(POLICY, changed._replace(done=done, terminal=terminal))["offset"] for changed in (steps, behind)
  )
  np.testing.assert_allclose(gradient[:4], other[:4], rtol=1e-12)  # another episode's steps say nothing


@pytest.mark.parametrize("growth", [0.9, 1.3])
def test_the_variance_of_the_scalar_chain(growth):
  """`x' = L x + theta + s e`, `J = -x_h^2 / 2`: `V = S^2 v`, whose logarithm grows by `4 log L` a step for L > 1."""
  mean, std, number = 0.2, 0.1, 20_000
  params = {"gain": jnp.asarray(0.0), "offset": jnp.asarray(mean), "log_std": jnp.log(std)}

  def predict(obs, action):
    return growth * obs + action, jnp.zeros(obs.shape[:-1])

  def gradients(horizon):
    noise = jax.random.normal(jax.random.key(3), (horizon + 1, number, 1))
    agent = agent_of(params, unsquashed(predict), lambda obs, action: -0.5 * obs[:, 0] ** 2, discount=1.0)

    def total(offset):
      one = agent._replace(policy=policy_of(params | {"offset": offset[:, None]}))
      return jnp.sum(expand(one, jnp.zeros((number, 1)), noise).total)

    return -jax.jit(jax.grad(total))(jnp.full((number,), mean))

  variances = {}
  for horizon in (10, 20):
    found = gradients(horizon)
    powers = growth ** np.arange(horizon)
    slope, variance = powers.sum(), std**2 * (powers**2).sum()
    np.testing.assert_allclose(np.mean(found), mean * slope**2, rtol=0.02)
    np.testing.assert_allclose(np.var(found), slope**2 * variance, rtol=0.05)
    variances[horizon] = np.var(found)
  if growth > 1.0:
    np.testing.assert_allclose(np.log(variances[20] / variances[10]) / 10.0, 4.0 * np.log(growth), rtol=0.1)


def test_predictions_that_are_not_finite_are_counted():
  def predict(obs, action):
    return jnp.where(obs > 0.0, jnp.inf, obs) + 0.0 * action, jnp.sum(obs, axis=-1)

  start = jnp.asarray([[0.5], [-0.5], [-0.1]])
  found = expand(agent_of(POLICY, predict), start, NOISE[:3, :3])
  np.testing.assert_array_equal(found.finite, [False, True, True])
  assert ravel_pytree(found.entropy)[0].shape == (3,)
