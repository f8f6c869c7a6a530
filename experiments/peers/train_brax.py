"""Brax's trainers, as `experiments.peers` runs them; imports Brax, under the peers' interpreter."""

import functools
import itertools
import statistics
from collections.abc import Callable
from typing import NamedTuple

from brax import envs as brax_envs
from brax.training import acting
from brax.training.agents.apg import networks as apg_networks
from brax.training.agents.apg import train as apg
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo

from gippo_jax import envs
from gippo_jax.envs.adapters.export import to_brax
from gippo_jax.experiments.peers.lines import Clock, Event, Finished, Request, Segment, versions_of
from gippo_jax.experiments.peers.problems import HIDDEN, HORIZON, MINIBATCH_SIZE, NUM_ENVS, NUM_PASSES, STEPS_PER_EPOCH

# Brax compiles its training twice: the second time for what the first stretch returned.
_COMPILING = 2


class Evaluation(NamedTuple):
  """When Brax evaluated, and what it found."""

  begin: Clock
  end: Clock
  mean_return: float


class TimedEvaluator(acting.Evaluator):
  """Brax's evaluator, which also keeps when it was called: what lies between two evaluations is training.

  Attributes:
    evaluations: of the training that goes on.
  """

  evaluations: list[Evaluation] = []

  def run_evaluation(self, *args, **kwargs):
    """As Brax's own."""
    begin = Clock.now()
    metrics = super().run_evaluation(*args, **kwargs)
    self.evaluations.append(Evaluation(begin, Clock.now(), float(metrics["eval/episode_reward"])))
    return metrics


def environment_of(request: Request) -> brax_envs.Env:
  """Brax's own environment, on the backend that our adapter has by default, or ours in Brax's clothes."""
  if request.environment.startswith("brax:"):
    return brax_envs.get_environment(request.environment.removeprefix("brax:"), backend="spring")
  return to_brax(envs.make(request.environment, episode_length=request.episode_length))


def train(request: Request, emit: Callable[[Event], None]) -> None:
  """Trains the request's seeds, one after the other."""
  acting.Evaluator = TimedEvaluator
  for seed in request.seeds:
    TimedEvaluator.evaluations.clear()
    gradient_steps = _train_seed(request, seed)
    _tell(request, seed, TimedEvaluator.evaluations, gradient_steps, emit)


def _train_seed(request: Request, seed: int) -> tuple[int, int]:
  """Trains; returns the gradient steps of policy and critic in an epoch."""
  common = dict(
    environment=environment_of(request),
    episode_length=request.episode_length,
    num_envs=NUM_ENVS,
    num_evals=request.checkpoints + 1,
    num_eval_envs=request.episodes,
    deterministic_eval=True,
    seed=seed,
  )
  if request.algorithm == "apg":
    factory = functools.partial(apg_networks.make_apg_networks, hidden_layer_sizes=HIDDEN)
    apg.train(
      **common,
      policy_updates=request.epochs,
      horizon_length=HORIZON,
      network_factory=factory,  # pyright: ignore[reportArgumentType]  # sizes, where Brax means any observation
      **request.settings,
    )
    return 1, 0
  factory = functools.partial(
    ppo_networks.make_ppo_networks, policy_hidden_layer_sizes=HIDDEN, value_hidden_layer_sizes=HIDDEN
  )
  ppo.train(
    **common,
    num_timesteps=request.epochs * STEPS_PER_EPOCH,
    unroll_length=HORIZON,
    batch_size=MINIBATCH_SIZE // HORIZON,
    num_minibatches=STEPS_PER_EPOCH // MINIBATCH_SIZE,
    num_updates_per_batch=NUM_PASSES,
    network_factory=factory,
    **request.settings,
  )
  steps = NUM_PASSES * STEPS_PER_EPOCH // MINIBATCH_SIZE  # one loss of both networks: a step moves both
  return steps, steps


def _tell(
  request: Request,
  seed: int,
  evaluations: list[Evaluation],
  gradient_steps: tuple[int, int],
  emit: Callable[[Event], None],
) -> None:
  """Writes a seed's events; what compiling stretches took beyond the others' median is compilation."""
  stretches = [after.begin.since(before.end) for before, after in itertools.pairwise(evaluations)]
  steady = stretches[_COMPILING:] or stretches
  typical = Clock(statistics.median(each.wall for each in steady), statistics.median(each.cpu for each in steady))
  compiling = sum(max(0.0, each.cpu - typical.cpu) for each in stretches[:_COMPILING])
  passed = [Clock(0.0, 0.0), *[typical] * _COMPILING, *stretches[_COMPILING:]]
  for index, evaluation in enumerate(evaluations):
    done = index * (request.epochs // request.checkpoints)
    policy_steps, value_steps = (float(done * steps) for steps in gradient_steps)
    emit(Segment(seed, done * STEPS_PER_EPOCH, *passed[index], evaluation.mean_return, policy_steps, value_steps))
  emit(Finished(seed, compiling, versions_of("jax", "jaxlib", "flax", "brax")))
