"""Whether the reparameterised gradient can be trusted: whether the likelihood ratio confirms it, if noise lets it.

Where an environment jumps, and where its derivatives are wrong, the reparameterised estimate is biased, and its
variance does not show it. The likelihood ratio is not biased, but noisy. Both say what a given direction is worth, the
gain along it: `A` and `B`. Of a window's samples and the direction of the epoch before, which does not depend on them,
they are unbiased. Two halves of the environments give independent pairs `(a1, b1)` and `(a2, b2)`, of which

    a1 b2 + a2 b1 - 2 c a1 a2    has the mean    2 A (B - c A),

negative where the gain that is claimed is confirmed by less than a share `c` of it, or contradicted. One epoch does not
tell that from noise. A weighted sum over the last epochs, divided by the root of its squares, may.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from gippo_jax.fields import Real

# The likelihood ratio confirms at least half of what the reparameterised estimate claims, and that one sees at least a
# tenth of what is there: a direction is found by its sign and proportions, so that a factor is no harm.
_LEAST_CONFIRMED, _LEAST_SEEN = 0.5, 0.1


class Agreement(struct.PyTreeNode):
  """Sums over past epochs, an epoch `n` ago with weight `decay^n`.

  Attributes:
    direction: in parameters, along which the next epoch measures, `[P]`.
    totals: of what is negative where the gain is not confirmed, and where it is not seen, `[2]`.
    squares: of the same squared, with weight `decay^(2 n)`, `[2]`.
  """

  direction: jax.Array
  totals: jax.Array
  squares: jax.Array


class Trust(NamedTuple):
  """What the sums say.

  Attributes:
    factor: of the reparameterised estimate's weight, in [0, 1].
    deviations: the sums in their deviations, the lesser of the two; far below zero where the estimates disagree.
  """

  factor: jax.Array
  deviations: jax.Array


def init_agreement(params: jax.Array) -> Agreement:
  """Before the first epoch, which measures nothing; `params` are flat, `[P]`."""
  return Agreement(jnp.zeros_like(params), jnp.zeros(2, params.dtype), jnp.zeros(2, params.dtype))


def measure(
  agreement: Agreement,
  along: Float[Array, "T N B"],
  first: Float[Array, "T N B"],
  second: Float[Array, "T N B"],
  usable: Bool[Array, "T N"],
  decay: Real,
) -> Agreement:
  """The sums with this epoch's samples.

  Args:
    agreement: of the epochs before.
    along: change of the outputs along `agreement.direction`, `[T, N, B]`, `N >= 2`.
    first: the estimate in question, reparameterised, `[T, N, B]`.
    second: the other one, by likelihood ratio, `[T, N, B]`.
    usable: where the first one's sample counts, `[T, N]`.
    decay: weight of an epoch relative to the next one.
  """
  half = first.shape[1] // 2

  def gains(samples: jax.Array) -> tuple[jax.Array, jax.Array]:
    each = jnp.sum(jnp.where(usable[..., None], samples * along, 0.0), axis=-1)
    return jnp.mean(each[:, :half]), jnp.mean(each[:, half:])

  (a1, a2), (b1, b2) = gains(first), gains(second)
  crossed = a1 * b2 + a2 * b1
  terms = jnp.stack([crossed - 2.0 * _LEAST_CONFIRMED * a1 * a2, crossed - 2.0 * _LEAST_SEEN * b1 * b2])
  terms = jnp.where(jnp.isfinite(terms**2), terms, 0.0)
  return agreement.replace(totals=decay * agreement.totals + terms, squares=decay**2 * agreement.squares + terms**2)


def trust_of(agreement: Agreement, significance: Real) -> Trust:
  """How far the reparameterised estimate is trusted: wholly until the disagreement cannot be noise.

  Args:
    agreement: sums.
    significance: deviations that are noise; trust ends one deviation after them.
  """
  is_known = agreement.squares > 0.0
  deviation = jnp.sqrt(jnp.where(is_known, agreement.squares, 1.0))
  deviations = jnp.min(jnp.where(is_known, agreement.totals / deviation, 0.0))
  return Trust(jnp.clip(1.0 + significance + deviations, 0.0, 1.0), deviations)
