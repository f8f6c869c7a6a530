"""The sampling density of GI-PPO's last step: the mixture of the policy that rolled out and the alpha-policy."""

import jax
import jax.numpy as jnp

_LARGEST_LOG_RATIO = 16.0
_LARGEST_MIXTURE_DISTANCE = 4.0


def mixture_ratio(log_prob: jax.Array, sampling: tuple[jax.Array, jax.Array]) -> jax.Array:
  """`pi / ((pi_old + pi_alpha) / 2)` (Eq. 10); `pi / pi_alpha` where the two lie too far apart in the minibatch.

  Args:
    log_prob: of the policy being trained, `[B]`.
    sampling: log-probabilities under `pi_old` and `pi_alpha`, each `[B]`.

  Returns:
    Ratios, `[B]`.
  """
  old, alpha = sampling
  too_far = jnp.any(jnp.abs(old - alpha) > _LARGEST_MIXTURE_DISTANCE)
  mixture = jnp.where(too_far, alpha, jnp.logaddexp(old, alpha) - jnp.log(2.0))
  return jnp.exp(jnp.clip(log_prob - mixture, -_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO))
