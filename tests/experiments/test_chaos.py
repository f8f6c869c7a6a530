"""Chaos: the estimators on the two systems of PIPPS, against each other, against differences and against the notes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.experiments.measurements import chaos
from gippo_jax.experiments.pipps import cartpole
from gippo_jax.learning.particles import cost_gradient, roll
from gippo_jax.learning.total_propagation import constant
from tests.commands import call, check_error


def test_backpropagation_is_the_derivative_of_the_cloud():
  """Central differences of the cost under the same noise."""
  policy = cartpole.random_policy(jax.random.key(0), num_centres=5)
  noise = 0.1 * jax.random.normal(jax.random.key(1), (6, 20, 4))
  start = jnp.asarray(cartpole.HANGING)[None] + 0.1 * jax.random.normal(jax.random.key(2), (20, 4))
  weights = jnp.linspace(1.0, 2.0, 6)

  def outputs(policy, state):
    reached = cartpole.advance(state, cartpole.force(policy, state))
    # The noise depends on the parameters too, so that both outputs carry derivatives.
    return reached, jnp.broadcast_to(0.1 * policy.weights[0] - 2.0, state.shape)

  def cost_of(policy):
    return roll(policy, outputs, cartpole.cost, start, noise, weights)

  found = jax.jit(
    lambda policy: cost_gradient(policy, outputs, cartpole.cost, cost_of(policy), weights, constant(0.0))
  )(policy)
  expected = jax.grad(lambda policy: cost_of(policy).cost)(policy)
  for leaf, reference in zip(found, expected, strict=True):
    assert np.max(np.abs(reference)) > 1e-4
    np.testing.assert_allclose(leaf, reference, rtol=1e-8, atol=1e-11)


def test_the_cartpole_keeps_its_energy_without_friction_and_force(monkeypatch):
  monkeypatch.setattr(cartpole, "_FRICTION", 0.0)
  state = jnp.asarray([0.0, 2.0, 0.1, 0.5])

  def energy(state):
    _, angle, velocity, angular = state
    # A uniform rod: half its length to the centre of mass, a twelfth of m l^2 about it.
    along, up = velocity - 0.25 * jnp.cos(angle) * angular, -0.25 * jnp.sin(angle) * angular
    kinetic = 0.5 * 0.5 * velocity**2 + 0.25 * (along**2 + up**2) + 0.5 * (0.5 * 0.25 / 12.0) * angular**2
    return kinetic + 0.5 * 9.82 * 0.25 * jnp.cos(angle)

  drift = []
  for substeps in (10, 100, 1000):
    monkeypatch.setattr(cartpole, "_SUBSTEPS", substeps)
    drift.append(abs(float(energy(cartpole.advance(state, jnp.zeros(()))) - energy(state))))
  assert drift[2] < 1e-3
  np.testing.assert_allclose(drift[0] / drift[1], 10.0, rtol=0.3)  # Euler: first order
  np.testing.assert_allclose(drift[1] / drift[2], 10.0, rtol=0.1)


# Measured with the settings of the first author's library, in float64: RP, LR, TP. From 2.4 on RP is spikes: their
# number among 40 repeats is a matter of luck.
NOTED = {1.8: (1.8e-8, 2.9e-3, 1.8e-8), 2.4: (6.9e-2, 8.0e-2, 5.7e-4), 2.8: (2e16, 0.58, 0.13)}


@pytest.mark.slow
def test_the_variances_of_two_units():
  rows = chaos.measure_two_units(tuple(NOTED), jax.random.key(0), num_repeats=40, num_particles=1000)
  for row in rows:
    rp, lr, tp = NOTED[row["beta"]]
    tail = 3.0 if row["beta"] < 2.4 else 100.0
    assert rp / tail < row["rp"] < rp * tail
    assert lr / 3.0 < row["lr"] < lr * 3.0
    assert tp / 3.0 < row["tp"] < tp * 3.0
    assert row["tp"] < 1.2 * min(row["rp"], row["lr"])


@pytest.mark.slow
def test_total_propagation_outlives_both_on_a_swinging_pole():
  (row,) = chaos.measure_cartpole([(2, 1.0, 10)], jax.random.key(0), num_repeats=20)
  assert row["rp"] > 100.0 * row["lr"]
  assert row["tp"] < 1.2 * row["lr"]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--horizons=5,1",), "--horizons: 5,1 is not allowed; allowed: integers of at least 2"),
    (("--horizons=a",), "--horizons: a is not allowed"),
    (("--particles=1",), "--particles: 1 is not allowed; allowed: at least 2"),
    (("now",), "'now' is not allowed; allowed: flags"),
  ],
)
def test_errors_end_in_one_line(arguments, message):
  check_error(call("experiments.chaos", *arguments), message)
