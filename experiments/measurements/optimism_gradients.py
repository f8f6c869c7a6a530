"""Gradient ascent on the logits of a softmax policy, plain and accelerated: the relatives of optimism in parameters."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.experiments.measurements import optimism_problems as problems
from gippo_jax.experiments.measurements.optimism_problems import Evaluation, Problem

Gradient = Callable[[jax.Array], jax.Array]


class Ascent(NamedTuple):
  """Where an ascent is.

  Attributes:
    parameters: of any shape.
    velocity: the last step; 0 before the first.
    gradient: the last one; the first step's own before it.
  """

  parameters: jax.Array
  velocity: jax.Array
  gradient: jax.Array


# Maps the gradient, where the ascent is, the rate and the decay of the velocity to where it is next.
Step = Callable[[Gradient, Ascent, jax.Array, jax.Array], Ascent]


def begin(gradient: Gradient, parameters: jax.Array) -> Ascent:
  """Before the first step."""
  return Ascent(parameters, jnp.zeros_like(parameters), gradient(parameters))


def _plain(gradient: Gradient, now: Ascent, rate: jax.Array, decay: jax.Array) -> Ascent:
  del decay
  slope = gradient(now.parameters)
  return _move(now, rate * slope, slope)


def _optimistic(gradient: Gradient, now: Ascent, rate: jax.Array, decay: jax.Array) -> Ascent:
  del decay
  slope = gradient(now.parameters)
  return _move(now, rate * (2.0 * slope - now.gradient), slope)


def _extragradient(gradient: Gradient, now: Ascent, rate: jax.Array, decay: jax.Array) -> Ascent:
  del decay
  slope = gradient(now.parameters + rate * gradient(now.parameters))
  return _move(now, rate * slope, slope)


def _heavy_ball(gradient: Gradient, now: Ascent, rate: jax.Array, decay: jax.Array) -> Ascent:
  slope = gradient(now.parameters)
  return _move(now, decay * now.velocity + rate * slope, slope)


def _nesterov(gradient: Gradient, now: Ascent, rate: jax.Array, decay: jax.Array) -> Ascent:
  slope = gradient(now.parameters + decay * now.velocity)
  return _move(now, decay * now.velocity + rate * slope, slope)


def _move(now: Ascent, velocity: jax.Array, gradient: jax.Array) -> Ascent:
  return Ascent(now.parameters + velocity, velocity, gradient)


METHODS: dict[str, Step] = {
  "plain": _plain,
  "optimistic": _optimistic,
  "extragradient": _extragradient,
  "heavy ball": _heavy_ball,
  "Nesterov": _nesterov,
}


def policy_gradient(logits: jax.Array, evaluation: Evaluation) -> jax.Array:
  """`dJ / dlogits = d(s) pi(a|s) (Q(s, a) - sum_b pi(b|s) Q(s, b))`, `[S, A]`."""
  return surrogate_gradient(logits, evaluation.action_values, evaluation.visits)


def surrogate_gradient(logits: jax.Array, prediction: jax.Array, visits: jax.Array) -> jax.Array:
  """Gradient of `sum_s d(s) <U(s), pi(s)>` by the logits, `[S, A]`; at `U = Q^pi` it is the policy's."""
  policy = jax.nn.softmax(logits)
  return visits[:, None] * policy * (prediction - jnp.sum(policy * prediction, axis=1, keepdims=True))


def ascend(
  problem: Problem, step: Step, logits: jax.Array, rate: jax.Array, decay: jax.Array, num_steps: int
) -> jax.Array:
  """Ascent on `J`.

  Args:
    problem: whose return is maximised.
    step: one of `METHODS`.
    logits: of the first policy, `[S, A]`.
    rate: of every step.
    decay: of the velocity.
    num_steps: their number.

  Returns:
    Logits before each step, `[num_steps, S, A]`.
  """

  def gradient(logits):
    return policy_gradient(logits, problems.evaluate(problem, jax.nn.softmax(logits)))

  def advance(now, _):
    return step(gradient, now, rate, decay), now.parameters

  return jax.lax.scan(advance, begin(gradient, logits), None, length=num_steps)[1]
