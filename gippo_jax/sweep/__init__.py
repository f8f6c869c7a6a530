"""Many configurations at once: `python -m gippo_jax sweep`; a sweep file imports its ranges from here."""

from gippo_jax.sweep.space import LogUniform, Uniform

__all__ = ["LogUniform", "Uniform"]
