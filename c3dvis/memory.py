"""Recognizes out-of-memory errors of all backends."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or a backend means that memory ran out.

    Compares class names, as backends are not imported: `ResourceExhaustedError` of TensorFlow,
    `OutOfMemoryError` of torch, and JAX's runtime error with RESOURCE_EXHAUSTED.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}:
        return True
    # TensorFlow's error for a constant of a graph that does not fit.
    if "InvalidArgumentError" in names and "Cannot parse tensor from proto" in str(error):
        return True
    of_jax = bool(names & {"XlaRuntimeError", "JaxRuntimeError"})
    return of_jax and "RESOURCE_EXHAUSTED" in str(error)
