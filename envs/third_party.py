"""How other packages are used: under the promotion rules they count on, and without what they say at import."""

import contextlib
import io
import warnings
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def standard_promotion() -> Iterator[None]:
  """JAX's default promotion of types and ranks, for callers with stricter settings."""
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    yield


@contextlib.contextmanager
def quiet_brax() -> Iterator[None]:
  """Hides what Brax and MuJoCo say at every import and load.

  Brax warns that it is no longer maintained (docs/environments.md says so once), MuJoCo prints that it has no Warp.
  """
  with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
    warnings.simplefilter("ignore", UserWarning)
    yield
