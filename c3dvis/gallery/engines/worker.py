"""What a worker does, in whatever process it is: it loads the network once and answers tasks."""

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
    """All that a worker needs to be told, once.

    Attributes:
        settings: As they stand in records.
        files: The same, with the paths under which a worker finds the files.
        out: Folder of the gallery.
        identity: What decides the clips: a worker that has other weights is refused.
    """

    settings: Settings
    files: Settings
    out: Path
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a worker says.

    Attributes:
        kind: "ready" once it has started; "made" a record; "done" with its task; "refused" by
            wrong input, "failed" by a file; "died" is said for it.
        record: Of "made".
        message: Why, of the last three.
    """

    kind: Literal["ready", "made", "done", "refused", "failed", "died"]
    record: Record | None = None
    message: str = ""


class Worker:
    """Answers tasks one after the other.

    Args:
        recipe: Of the gallery.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self._renderer: Renderer | None = None

    def answer(self, task: Task, best: Mapping[int, float | None]) -> Iterator[Answer]:
        """Makes a task's units; no exception leaves it."""
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
