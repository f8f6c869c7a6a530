"""Search spaces for `gippo_jax.tune`: each has `get_space(trial) -> {field: value}`."""
