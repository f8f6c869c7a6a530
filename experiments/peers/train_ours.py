"""Our trainers, as `experiments.peers` runs them: the preset `any:ALGORITHM` with the common sizes."""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import functools
from collections.abc import Callable

import jax
import numpy as np

from gippo_jax.config import Config, traced
from gippo_jax.experiments.configs import any as any_preset
from gippo_jax.experiments.peers.lines import Clock, Event, Finished, Request, Segment, versions_of
from gippo_jax.experiments.peers.problems import HIDDEN, HORIZON, MINIBATCH_SIZE, NUM_ENVS, NUM_PASSES, STEPS_PER_EPOCH
from gippo_jax.learning.agents import make_networks
from gippo_jax.learning.policies import make_policy
from gippo_jax.parsing import parse
from gippo_jax.programs.epochs import make_epochs, run_chunk
from gippo_jax.programs.evaluation import evaluate
from gippo_jax.runs.environments import make_environment


def config_of(request: Request) -> Config:
  """The hyper-parameters of a request."""
  config = any_preset.get_config(request.algorithm)
  config.num_envs, config.horizon, config.num_epochs = NUM_ENVS, HORIZON, request.epochs
  config.actor.units = config.critic.units = HIDDEN
  config.ppo.minibatch_size, config.ppo.num_passes = MINIBATCH_SIZE, NUM_PASSES
  config.env.name = request.environment
  config.env.episode_length = request.episode_length
  config.update_from_flattened_dict(request.settings)
  return parse(config).config


def train(request: Request, emit: Callable[[Event], None]) -> None:
  """Trains the request's seeds, one after the other."""
  env = make_environment({"name": request.environment, "episode_length": request.episode_length})
  config = config_of(request)
  chunk = request.epochs // request.checkpoints
  epochs = make_epochs(env, config)
  networks = make_networks(env.observation_size, env.action_size, config.actor, config.critic)
  critic_steps = config.critic.num_iterations * config.critic.num_minibatches
  numbers = traced(config)

  @jax.jit
  def mean_return(policy, key):
    acting = make_policy(networks, config.normalize_observations, policy)
    return evaluate(acting, env, key, request.episodes).mean()

  begin = Clock.now()
  init = jax.jit(epochs.init)
  state = init(jax.random.key(0), numbers)
  advance = jax.jit(functools.partial(run_chunk, epochs, chunk), donate_argnums=0)
  compiled = advance.lower(state, numbers, chunk).compile()
  compile_seconds: float | None = Clock.now().since(begin).cpu

  for seed in request.seeds:
    train_key, evaluation_key = jax.random.split(jax.random.key(seed))
    state = init(train_key, numbers)
    # Compiled here, and not in the first segment's place.
    emit(Segment(seed, 0, 0.0, 0.0, float(mean_return(state.policy, evaluation_key)), 0.0, 0.0))
    policy_steps = 0.0
    for index in range(1, request.checkpoints + 1):
      begin = Clock.now()
      state, metrics = jax.block_until_ready(compiled(state, numbers, chunk))
      passed = Clock.now().since(begin)
      # An attempt of PPO makes all its passes; other algorithms make one step an epoch.
      if "ppo_attempts" in metrics:
        steps_per_attempt = NUM_PASSES * STEPS_PER_EPOCH // MINIBATCH_SIZE
        policy_steps += steps_per_attempt * float(np.sum(metrics["ppo_attempts"]))
      else:
        policy_steps += chunk
      done = index * chunk
      emit(
        Segment(
          seed=seed,
          steps=done * STEPS_PER_EPOCH,
          seconds=passed.wall,
          cpu_seconds=passed.cpu,
          mean_return=float(mean_return(state.policy, jax.random.fold_in(evaluation_key, index))),
          policy_steps=policy_steps,
          value_steps=float(done * critic_steps),
        )
      )
    emit(Finished(seed, compile_seconds, versions_of("jax", "jaxlib", "flax", "brax", "gymnax")))
    compile_seconds = None
