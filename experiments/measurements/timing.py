"""How long compiled programs take on a machine that may have other work."""

import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree
from gippo_jax.envs.wrappers import Batch

_TIMINGS = 7
_SECONDS_PER_TIMING = 0.3


def rollout(batch: Batch, state: PyTree, actions: jax.Array) -> tuple[jax.Array, PyTree]:
  """Sum of the rewards of a window, `actions` of shape `[T, N, A]`, and the state after it."""

  def step(state, action):
    state = batch.step(state, action)
    return state, state.current.reward

  state, rewards = jax.lax.scan(step, state, actions)
  return jnp.sum(rewards), state


def seconds_per_call(calls: Sequence[Callable[[], PyTree]]) -> list[float]:
  """Best mean time of each call, s.

  The calls take turns, so that a spell of other work on the machine does not fall on one of them alone.

  Args:
    calls: each starts a compiled program and returns its results.
  """

  def timing(call, repetitions):
    result = None
    begin = time.perf_counter()
    for _ in range(repetitions):
      result = call()
    jax.block_until_ready(result)
    return (time.perf_counter() - begin) / repetitions

  repetitions = []
  for call in calls:
    timing(call, 1)
    repetitions.append(max(1, int(_SECONDS_PER_TIMING / timing(call, 1))))
  rounds = [[timing(*pair) for pair in zip(calls, repetitions, strict=True)] for _ in range(_TIMINGS)]
  return [min(times) for times in zip(*rounds, strict=True)]
