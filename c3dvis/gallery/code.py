"""Python code that reproduces a gallery's clips, for the page."""

from __future__ import annotations

from c3dvis.gallery.plan import CLASSES, Section
from c3dvis.gallery.settings import Settings
from c3dvis.models.chosen import built_shape


def python(settings: Settings, section: Section, *, log_odds: bool) -> str:
    """A program that makes the clip of a section's unit `channel`.

    Names are written as ASCII literals, so that none can end the literal.

    Args:
        settings: Settings of the gallery.
        section: Section of the unit.
        log_odds: Whether a class's objective is its logit plus its log odds.
    """
    transparent = settings.parametrization == "alpha"
    shown = "parametrizations.rgba(clip)" if transparent else "clip"
    name = f"{section.units[0].folder}-{{channel}}.gif"
    lines = [
        "from c3dvis import clips, models, objectives",
        "from c3dvis.maximize import maximize" + ", parametrizations" * transparent,
        "",
        f"network = {_network(settings)}",
        f"objective = {_objective(section, log_odds, settings.output)}",
        f"(clip,) = maximize({', '.join(['network', 'objective', *_options(settings)])})",
        f'clips.write(f"{name}", {shown}, fps={settings.fps:g})',
    ]
    return "\n".join(lines) + "\n"


def _network(settings: Settings) -> str:
    if settings.keras_model is not None:
        return f"models.load_keras_model({settings.keras_model!a})"
    given = [ascii(settings.model)]
    if settings.weights is not None:
        given.append(f"weights={settings.weights!a}")
    return f"models.build({', '.join(given)}, input_shape={built_shape(settings)})"


def _objective(section: Section, log_odds: bool, output_name: str | None) -> str:
    if section.layer != CLASSES:
        return f"objectives.channel({section.layer!a}, [channel])"
    output = f", output={output_name!a}" if output_name is not None else ""
    odds = f" + objectives.log_odds([channel]{output})" if log_odds else ""
    return f"objectives.logit([channel]{output}){odds}"


def _options(settings: Settings) -> list[str]:
    """The arguments of `maximize` that differ from its defaults."""
    options = [f"steps={settings.steps}", f"seed={settings.seed}"]
    if settings.parametrization != "fourier":
        options.append(f"parametrization={settings.parametrization!a}")
    if settings.colours is not None:
        options.append(f"colours={settings.colours!a}")
    for name in ("size", "frames", "dtype", "input"):
        value = getattr(settings, name)
        if value is not None and (settings.keras_model is not None or name == "dtype"):
            options.append(f"{name}={value!r}")
    if settings.value_range is not None:
        low, high = settings.value_range
        options.append(f"preprocess=lambda values: values * ({high!r} - {low!r}) + {low!r}")
    return options
