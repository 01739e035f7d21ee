"""A worker, in any process: it loads the network once and makes the units of tasks."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from c3dvis.gallery.groups import Task
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer
    from c3dvis.gallery.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """Everything that a worker needs before its first task.

    Attributes:
        settings: The settings, as records hold them.
        files: The same settings, with file paths that are valid for the worker.
        out: Folder of the gallery.
        identity: What determines the clips; a worker with other weights is refused.
    """

    settings: Settings
    files: Settings
    out: Path
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """A message of a worker.

    Attributes:
        kind: "ready" after its start; "made" with each record; "done" after its task; "refused"
            for wrong input; "failed" for a file error; "died" is reported by the engine.
        record: The record, of "made".
        message: The reason, for the last three.
    """

    kind: Literal["ready", "made", "done", "refused", "failed", "died"]
    record: Record | None = None
    message: str = ""


class Worker:
    """Answers tasks one after the other.

    Args:
        recipe: Recipe of the gallery.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self._renderer: Renderer | None = None

    def answer(self, task: Task, best: Mapping[int, float | None]) -> Iterator[Answer]:
        """Makes a task's units; errors become answers."""
        try:
            if self._renderer is None:
                self._renderer = self._load()
            for record in self._renderer.render(task, best):
                yield Answer("made", record)
        except OSError as error:
            yield Answer("failed", message=f"{error} (on {socket.gethostname()})")
        except ValueError as error:
            yield Answer("refused", message=f"{error} (on {socket.gethostname()})")
        except Exception as error:
            message = f"{type(error).__name__}: {error} (on {socket.gethostname()})"
            yield Answer("failed", message=message)
        else:
            yield Answer("done")

    def _load(self) -> Renderer:
        from c3dvis.gallery.render import Renderer
        from c3dvis.models import chosen

        recipe = self.recipe
        if not recipe.out.is_dir():
            raise ValueError(
                "Expected a folder that all machines share, under the same path. Received: "
                f"{recipe.out}, which is not there"
            )
        network = chosen.load(recipe.files)
        renderer = Renderer(recipe.settings, recipe.out, network=network)
        if renderer.identity != recipe.identity:
            raise ValueError(
                "Expected the same network on all machines. Received: other weights or layers"
            )
        return renderer
