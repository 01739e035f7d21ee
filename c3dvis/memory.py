"""Whether an error says that no memory was left."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a backend, or Python, had no memory left.

    By name, as backends are not imported: `ResourceExhaustedError` of TensorFlow,
    `OutOfMemoryError` of torch, and JAX's runtime error that says RESOURCE_EXHAUSTED.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}:
        return True
    # How TensorFlow says that there is no memory for a constant of a graph.
    if "InvalidArgumentError" in names and "Cannot parse tensor from proto" in str(error):
        return True
    of_jax = bool(names & {"XlaRuntimeError", "JaxRuntimeError"})
    return of_jax and "RESOURCE_EXHAUSTED" in str(error)
