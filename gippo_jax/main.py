r"""Trains a policy: `python -m gippo_jax.main --config=FILE.py:ARGUMENT [--config.FIELD=VALUE ...] --workdir=DIR`.

The same as `python -m gippo_jax train`; see `gippo_jax.cli.train`.
"""

from gippo_jax.cli.train import console

if __name__ == "__main__":
  console()
