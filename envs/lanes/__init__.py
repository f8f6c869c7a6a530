"""`jax.vmap` for simulators of many small arrays: the environments lie along the last axis, the processor's lanes.

A rigid body is a handful of vectors of three numbers. With the environments along the first axis, as `jax.vmap` has
it, a processor's innermost loops run over those three numbers; with the environments along the last one they run over
64 or more. `program.vectorized` is the door; `indexing`, `products` and `rules` say how operations look in that layout.
"""
