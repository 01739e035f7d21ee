"""Write the tables of weights/README.md from the records: `python -m c3dvis.weights.report`."""

import json
import re
from pathlib import Path

from c3dvis.text import table

FOLDER = Path(__file__).parent
ORDER_CLASSES = ("left then right", "right then left")


def tables(records: list[dict]) -> dict[str, str]:
    """The text between each pair of markers."""
    percent = "{:.1%}".format
    names = [r["name"] for r in records]
    overview = [
        [
            r["name"],
            f"{r['parameters']:,}",
            f"{r['bytes'] / 1e6:.2f} MB",
            percent(r["held_out"]["accuracy"]),
            f"{r['seconds'] / 60:.0f} min",
        ]
        for r in records
    ]
    classes = list(records[0]["held_out"]["per_class"])
    per_class = [[c, *(percent(r["held_out"]["per_class"][c]) for r in records)] for c in classes]
    shuffled = [
        [c, *(percent(r["held_out"]["per_class_frames_shuffled"][c]) for r in records)]
        for c in ORDER_CLASSES
    ]
    means = [
        sum(r["held_out"]["per_class_frames_shuffled"][c] for c in ORDER_CLASSES) / 2
        for r in records
    ]
    return {
        "table": table(["name", "parameters", "file", "held-out accuracy", "trained in"], overview),
        "classes": table(["class", *names], per_class),
        "shuffled": table(["class", *names], [*shuffled, ["mean", *map(percent, means)]]),
    }


def main() -> None:
    records = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    page = FOLDER / "README.md"
    text = page.read_text()
    for name, content in tables(records).items():
        block = f"<!-- {name} -->\n{content}\n<!-- /{name} -->"
        text = re.sub(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, text, flags=re.S)
    page.write_text(text)


if __name__ == "__main__":
    main()
