"""gallery.json is checked when it is read: nothing that it says leads out of the folder."""

from __future__ import annotations

import pytest
from gallery_folder import write_folder

from c3dvis import files
from c3dvis.gallery import manifest, rebuild


@pytest.fixture
def kept(tmp_path):
    write_folder(tmp_path, {"conv1": [None]})
    return files.read_json(tmp_path / manifest.NAME)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/", ".hidden", "a\0b", "a\\b", None]
)
def test_a_layers_folder_lies_in_the_gallery(kept, tmp_path, name):
    kept["sections"][0]["folder"] = name
    files.write_json(tmp_path / manifest.NAME, kept)
    assert manifest.read(tmp_path) is None
    with pytest.raises(ValueError, match="Expected the folder of a gallery"):
        rebuild.rebuild(tmp_path)


@pytest.mark.parametrize("name", ["compare", "fps", "steps", "seed", "parametrization"])
def test_what_the_pages_say_is_there(kept, tmp_path, name):
    assert manifest.read(tmp_path) is not None
    for wrong in (None, [], True):
        identity = {**kept["identity"], name: wrong}
        files.write_json(tmp_path / manifest.NAME, {**kept, "identity": identity})
        assert manifest.read(tmp_path) is None
