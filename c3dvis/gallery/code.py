"""The Python that makes a gallery's clips once more."""

from __future__ import annotations

from pathlib import Path

from c3dvis.gallery.plan import CLASSES, Section
from c3dvis.gallery.settings import Settings
from c3dvis.models.chosen import built_shape


def python(settings: Settings, section: Section, *, log_odds: bool) -> str:
    """A program that makes the clip of one unit of a section, whose number it calls `channel`.

    Args:
        settings: Of the gallery.
        section: Whose units are asked for.
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
        return f"models.load_keras_model({_literal(settings.keras_model)})"
    given = [_literal(settings.model)]
    if settings.weights is not None:
        given.append(f"weights={_literal(settings.weights)}")
    return f"models.build({', '.join(given)}, input_shape={built_shape(settings)})"


def _objective(section: Section, log_odds: bool, output_name: str | None) -> str:
    if section.layer != CLASSES:
        return f"objectives.channel({_literal(section.layer)}, [channel])"
    output = f", output={_literal(output_name)}" if output_name is not None else ""
    odds = f" + objectives.log_odds([channel]{output})" if log_odds else ""
    return f"objectives.logit([channel]{output}){odds}"


def _options(settings: Settings) -> list[str]:
    """The arguments that are not what `maximize` takes where none are given."""
    options = [f"steps={settings.steps}", f"seed={settings.seed}"]
    if settings.parametrization != "fourier":
        options.append(f"parametrization={_literal(settings.parametrization)}")
    if settings.colours is not None:
        options.append(f"colours={_literal(settings.colours)}")
    for name in ("size", "frames", "dtype", "input"):
        value = getattr(settings, name)
        if value is not None and (settings.keras_model is not None or name == "dtype"):
            options.append(f"{name}={value!r}")
    if settings.value_range is not None:
        low, high = settings.value_range
        options.append(f"preprocess=lambda values: values * ({high!r} - {low!r}) + {low!r}")
    return options


def _literal(text: str | Path) -> str:
    """The text as a literal of Python, in ASCII: nothing in it can end the literal."""
    return ascii(str(text))
