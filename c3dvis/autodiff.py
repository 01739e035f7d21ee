"""Compiled functions, gradients and fits under each Keras backend: the only file that names one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence

import keras

from c3dvis import interrupts

__all__ = [
    "compiled",
    "fit",
    "gpu_count",
    "jit_compile",
    "no_inline",
    "optimizer_index",
    "predict",
    "refuse_strategy_scope",
    "steps_per_execution",
    "synchronize",
    "value_and_gradient",
]


def compiled(function: Callable, *, variables: Sequence = ()) -> Callable:
    """The same function, compiled for arrays of each shape that it is called with.

    Args:
        function: Takes tensors and returns a tensor, or a tuple of them.
        variables: Keras variables that it reads, such as `network.variables`. JAX treats variables
            that are not listed here as constants; the other backends read the current values.

    Returns:
        A function of arrays that returns tensors. Under torch it is not compiled.

    Example:
        >>> from keras import ops
        >>> square = compiled(lambda x: x * x)
        >>> ops.convert_to_numpy(square([1.0, 3.0])).tolist()
        [1.0, 9.0]
    """
    match keras.backend.backend():
        case "tensorflow":
            return _on_tensors(_tensorflow_graph(function))
        case "jax":
            return _jax_compiled(function, list(variables))
        case "torch":
            return _torch_without_gradient(function)
    raise _unknown_backend()


def fit(model: keras.Model, rows, *, batch_size: int, **options):
    """`model.fit` on rows in their order, an array or a tuple of them.

    `tf.data`'s autotuning is off: its thread sleeps for 10 ms, then twice as long, and so on, and
    the end of a fit waits for it to wake, which can take as long as the fit.

    Args:
        model: Compiled.
        rows: `(N, ...)`, N a multiple of the batch size.
        batch_size: Rows of a step.
        **options: Options of `keras.Model.fit`: callbacks (a list), verbose, ...

    Returns:
        The history.
    """
    check = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda _, logs: interrupts.check())
    options["callbacks"] = [*(options.get("callbacks") or ()), check]
    if keras.backend.backend() != "tensorflow":
        _separate_buffers(model)
        try:
            return model.fit(rows, batch_size=batch_size, shuffle=False, **options)
        except BaseException:
            synchronize(model)  # otherwise JAX would leave the network without weights
            raise
    import tensorflow as tf

    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    steps = tf.data.Dataset.from_tensor_slices((rows,)).batch(batch_size, drop_remainder=True)
    model.make_train_function()
    for value in inspect.getclosurevars(model.train_function).nonlocals.values():
        if isinstance(value, tf.types.experimental.PolymorphicFunction):
            _silence_retracing_warning(value)
    return model.fit(steps.with_options(untuned), shuffle=False, **options)


def predict(model: keras.Model, rows, **options):
    """`model.predict` for a model that is made for a few calls only.

    Args:
        model: Takes the rows.
        rows: `(N, ...)`, an array or a tuple of them.
        **options: Options of `keras.Model.predict`: batch_size, verbose, ...

    Returns:
        Arrays, as the model's outputs are.

    Example:
        >>> import numpy as np
        >>> double = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
        >>> predict(double, np.ones((3, 1), np.float32), verbose=0).ravel().tolist()
        [2.0, 2.0, 2.0]
    """
    interrupts.check()
    if keras.backend.backend() == "tensorflow":
        model.make_predict_function()
        _silence_retracing_warning(model.predict_function)
    return model.predict(rows, **options)


def jit_compile() -> bool:
    """What `keras.Model.compile` needs to compile the step of a fit.

    TensorFlow compiles a graph anyway, and XLA's 3-D convolutions are many times slower on CPUs.
    JAX has no other graph than XLA's. Under torch, steps are not compiled.
    """
    match keras.backend.backend():
        case "tensorflow":
            return gpu_count() > 0
        case "jax":
            return True
    return False


def refuse_strategy_scope() -> None:
    """Raises a ValueError in the scope of a `tf.distribute.Strategy`.

    A model made there computes a copy of its step on each device and adds up the gradients; here
    each clip has latents of its own.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if tf.distribute.has_strategy():
        kind = type(tf.distribute.get_strategy()).__name__
        raise ValueError(
            "Expected to be called outside of `with strategy.scope():`; the network can be made "
            f"in one. Received: a call in the scope of a {kind}."
        )


def steps_per_execution(wanted: int) -> int:
    """The steps per execution that the backend supports: 1 under torch, otherwise `wanted`."""
    return 1 if keras.backend.backend() == "torch" else wanted


def optimizer_index(optimizer: keras.optimizers.Optimizer, variable) -> int:
    """The index of a variable among those that an optimizer was built with.

    Keras's own optimizers use this private method: in `update_step` they get TensorFlow's variable
    instead of Keras's, and there is no public mapping.
    """
    return optimizer._get_variable_index(variable)


def synchronize(model: keras.Model) -> None:
    """Updates a model's variables during `fit`, for callbacks.

    Under JAX, `fit` holds the weights outside of the variables.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def _separate_buffers(model: keras.Model) -> None:
    """Gives each variable a buffer of its own under JAX, where assigned variables share one.

    Keras donates the variables' buffers to the compiled step, and JAX refuses one that is donated
    twice.
    """
    if keras.backend.backend() != "jax":
        return
    seen: set[int] = set()
    for variable in [*model.variables, *model.optimizer.variables]:
        if id(variable.value) in seen:
            variable.assign(variable.value.copy())
        seen.add(id(variable.value))


@functools.cache
def gpu_count() -> int:
    """How many GPUs, or TPUs, the backend can use.

    Example:
        >>> gpu_count() >= 0
        True
    """
    if keras.backend.backend() == "torch":  # of which Keras lists no devices
        import torch

        return torch.cuda.device_count()
    # Without a type: JAX refuses to list a type of which there is no device.
    return sum(not device.startswith("cpu") for device in keras.distribution.list_devices())


def no_inline(function: Callable) -> Callable:
    """The function as a separate graph that TensorFlow does not inline.

    TensorFlow inlines the body of a loop. Of inlined graphs of a small network with a max pool,
    about one in ten gave another gradient for single activations; of separate ones, none of 58.
    Other backends need nothing.

    Args:
        function: Function of tensors, called in a TensorFlow graph.

    Returns:
        A function of the same tensors.

    Example:
        >>> from keras import ops
        >>> square = no_inline(lambda x: x * x)
        >>> float(square(ops.convert_to_tensor(3.0)))
        9.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    # TensorFlow's own optimizer of graphs reads this attribute; tf.function has no argument for it.
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def value_and_gradient(function: Callable, *, variables: Sequence = ()) -> Callable:
    """A compiled function that also returns the gradient with respect to its first argument.

    Args:
        function: Takes a tensor, perhaps others behind it, and returns a tensor of values, or a
            tuple whose first element that is.
        variables: See `compiled`.

    Returns:
        A function of the same arguments, as arrays, that returns `(result, gradient)`: what
        `function` returns, and the gradient of the sum of its values, in the first argument's
        shape. Where the values don't depend on the argument, it is zero.

    Example:
        >>> from keras import ops
        >>> values, gradient = value_and_gradient(lambda x: x * x)([1.0, 3.0])
        >>> ops.convert_to_numpy(gradient).tolist()
        [2.0, 6.0]
    """
    match keras.backend.backend():
        case "tensorflow":
            return _tensorflow_gradient(function)
        case "jax":
            return _jax_gradient(function, list(variables))
        case "torch":
            return _torch_gradient(function)
    raise _unknown_backend()


def _unknown_backend() -> ValueError:
    return ValueError(
        "Expected the Keras backend tensorflow, jax or torch. "
        f"Received: {keras.backend.backend()!r}."
    )


def _values(result):
    return result[0] if isinstance(result, tuple) else result


def _tensors(arguments) -> list:
    """Arguments of a compiled function as tensors; raises a Ctrl-C that got lost."""
    interrupts.check()
    return [keras.ops.convert_to_tensor(a) for a in arguments]


def _on_tensors(function: Callable) -> Callable:
    return lambda *arguments: function(*_tensors(arguments))


def _tensorflow_graph(function: Callable) -> Callable:
    import tensorflow as tf

    # Without XLA, as 3-D convolutions are many times slower with it on CPUs, and without
    # AutoGraph, as Keras does in `fit`.
    graph = tf.function(function, autograph=False)
    _silence_retracing_warning(graph)
    return graph


def _silence_retracing_warning(graph) -> None:
    """Excludes a `tf.function` from TensorFlow's "frequent retracing" warnings.

    TensorFlow counts traces by the line that created the function, which in Keras is the same for
    all models: five models would raise a warning. There is no public way to turn it off.
    """
    graph._omit_frequent_tracing_warning = True
    graph._key_for_call_stats = graph


def _tensorflow_gradient(function: Callable) -> Callable:
    import tensorflow as tf

    def both(x, *others):
        # The weights' own gradients would double the cost.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            result = function(x, *others)
            total = tf.reduce_sum(_values(result))
        return result, tape.gradient(total, x, unconnected_gradients="zero")

    return _on_tensors(_tensorflow_graph(both))


def _jax_compiled(function: Callable, variables: list) -> Callable:
    import jax

    def with_variables(now, *arguments):
        with keras.StatelessScope(state_mapping=list(zip(variables, now, strict=True))):
            return function(*arguments)

    step = jax.jit(with_variables)
    return lambda *arguments: step([v.value for v in variables], *_tensors(arguments))


def _jax_gradient(function: Callable, variables: list) -> Callable:
    import jax

    def total(x, *others):
        result = function(x, *others)
        return keras.ops.sum(_values(result)), result

    def both(x, *others):
        (_, result), gradient = jax.value_and_grad(total, has_aux=True)(x, *others)
        return result, gradient

    return _jax_compiled(both, variables)


def _torch_without_gradient(function: Callable) -> Callable:
    import torch

    def call(*arguments):
        with torch.no_grad():
            return function(*_tensors(arguments))

    return call


def _torch_gradient(function: Callable) -> Callable:
    import torch

    def both(x, *others):
        x = x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            result = function(x, *others)
        (gradient,) = torch.autograd.grad(_values(result).sum(), x, allow_unused=True)
        return result, torch.zeros_like(x) if gradient is None else gradient

    return _on_tensors(both)
