"""Tabular problems whose policies are evaluated exactly, for the laboratory of optimism.

Sutton and Barto's maze ("Reinforcement Learning", 2nd edition, Example 8.1) and problems of two states.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_MAZE = (
  ".......#G",
  "..#....#.",
  "S.#....#.",
  "..#......",
  ".....#...",
  ".........",
)
_MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))

# Discount, rewards and probabilities of going to the first state; entries in the order s0a0, s0a1, ..., s1a0, ...
_TWO_STATES = {
  "M0": (0.9, (0.06, 0.38, -0.13, 0.64), (0.01, 0.92, 0.08, 0.70)),
  "M1": (0.9, (0.88, -0.02, -0.98, 0.42), (0.96, 0.19, 0.43, 0.72)),
  "M3": (0.9, (-0.45, -0.1, 0.5, 0.5), (0.7, 0.99, 0.2, 0.99)),
  "M4": (0.8, (-0.1, -1.0, 0.1, 0.4, 1.5, 0.1), (0.9, 0.2, 0.7, 0.05, 0.25, 0.3)),
}


class Problem(NamedTuple):
  """A Markov decision problem.

  Attributes:
    transition: `P(s' | s, a)`, `[S, A, S]`.
    reward: `r(s, a)`, `[S, A]`.
    discount: scalar.
    start: probabilities of the first state, `[S]`.
  """

  transition: jax.Array
  reward: jax.Array
  discount: jax.Array
  start: jax.Array


class Evaluation(NamedTuple):
  """What is known of a policy.

  Attributes:
    values: `V(s)`, `[S]`.
    action_values: `Q(s, a)`, `[S, A]`.
    visits: `sum_t discount^t P(s_t = s)`, `[S]`.
  """

  values: jax.Array
  action_values: jax.Array
  visits: jax.Array


def maze() -> Problem:
  """The maze: four moves, a bump stays, a reward of 1 on entering the goal, which absorbs."""
  cells = [(row, column) for row, line in enumerate(_MAZE) for column, sign in enumerate(line) if sign != "#"]
  index = {cell: number for number, cell in enumerate(cells)}
  sign_of = {cell: _MAZE[cell[0]][cell[1]] for cell in cells}
  reached = [
    [index[cell] if sign_of[cell] == "G" else index.get((cell[0] + down, cell[1] + right), index[cell])]
    for cell in cells
    for down, right in _MOVES
  ]
  next_state = jnp.asarray(reached).reshape(len(cells), len(_MOVES))
  goal = jnp.asarray([sign_of[cell] == "G" for cell in cells])
  return Problem(
    transition=jax.nn.one_hot(next_state, len(cells), dtype=float),
    reward=(goal[next_state] & ~goal[:, None]).astype(float),
    discount=jnp.asarray(0.95),
    start=jnp.asarray([sign_of[cell] == "S" for cell in cells], dtype=float),
  )


def two_states() -> dict[str, Problem]:
  """The problems of two states, by name; either state is the first one with probability 1/2."""
  problems = {}
  for name, (discount, reward, probability) in _TWO_STATES.items():
    to_first = jnp.asarray(probability).reshape(2, -1)
    problems[name] = Problem(
      transition=jnp.stack([to_first, 1.0 - to_first], axis=-1),
      reward=jnp.asarray(reward).reshape(2, -1),
      discount=jnp.asarray(discount),
      start=jnp.full(2, 0.5),
    )
  return problems


@jax.jit
def state_values(problem: Problem, policy: jax.Array) -> jax.Array:
  """`V`, by a linear solve; `policy` is `[S, A]`."""
  return jnp.linalg.solve(_system(problem, policy), jnp.sum(policy * problem.reward, axis=1))


def action_values(problem: Problem, values: jax.Array) -> jax.Array:
  """`Q(s, a) = r + discount E V(s')`, `[S, A]`."""
  return problem.reward + problem.discount * (problem.transition @ values)


@jax.jit
def evaluate(problem: Problem, policy: jax.Array) -> Evaluation:
  """All of a policy, exactly."""
  factors = jax.scipy.linalg.lu_factor(_system(problem, policy))
  values = jax.scipy.linalg.lu_solve(factors, jnp.sum(policy * problem.reward, axis=1))
  visits = jax.scipy.linalg.lu_solve(factors, problem.start, trans=1)
  return Evaluation(values, action_values(problem, values), visits)


@jax.jit
def performance(problem: Problem, logits: jax.Array) -> jax.Array:
  """`J`: the discounted return of the softmax policy from the start."""
  return problem.start @ state_values(problem, jax.nn.softmax(logits))


def improve(problem: Problem, values: jax.Array, num_backups: int) -> jax.Array:
  """`(T*)^h V`, Bellman's optimality operator applied `h` times."""

  def backup(_, values):
    return jnp.max(action_values(problem, values), axis=1)

  return jax.lax.fori_loop(0, num_backups, backup, values)


def greedy(action_values: jax.Array) -> jax.Array:
  """The policy that takes the first best action, `[S, A]`."""
  return jax.nn.one_hot(jnp.argmax(action_values, axis=1), action_values.shape[1], dtype=action_values.dtype)


@jax.jit
def optimal_values(problem: Problem) -> jax.Array:
  """`V*`, by policy iteration from the uniform policy; more rounds than any of the problems here takes."""

  def iterate(_, values):
    return state_values(problem, greedy(action_values(problem, values)))

  policy = jnp.full_like(problem.reward, 1.0 / problem.reward.shape[1])
  return jax.lax.fori_loop(0, 30, iterate, state_values(problem, policy))


@jax.jit
def gaps(problem: Problem, logits: jax.Array) -> jax.Array:
  """`J* - J` of softmax policies, `[..., S, A] -> [...]`."""
  flat = logits.reshape(-1, *logits.shape[-2:])
  found = jax.lax.map(lambda logits: performance(problem, logits), flat, batch_size=256)
  return problem.start @ optimal_values(problem) - found.reshape(logits.shape[:-2])


def _system(problem: Problem, policy: jax.Array) -> jax.Array:
  """`I - discount P_policy`, `[S, S]`."""
  moves = jnp.einsum("sa,sat->st", policy, problem.transition)
  return jnp.eye(moves.shape[0]) - problem.discount * moves
