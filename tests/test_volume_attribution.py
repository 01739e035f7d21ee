"""A volume explained: what a segmentation network sees, on the file's own grid, in three planes."""

import json

import keras
import numpy as np
import pytest

from c3dvis import clips
from c3dvis.attribution import planes
from c3dvis.attribution.__main__ import main

nibabel = pytest.importorskip("nibabel", reason="NIfTI needs nibabel: extra volumes")
# Turned and not cubic: the file's axes run down, to the right, and up.
AFFINE = np.array([[0, 2.0, 0, 5], [-1, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
GRID = (20, 16, 12)
CENTRE, RADIUS = (13, 5, 4), 3


def ball():
    """Voxels of the planted sphere, by the file's axes."""
    places = np.indices(GRID) - np.reshape(CENTRE, (3, 1, 1, 1))
    return (places**2).sum(axis=0) <= RADIUS**2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A scan with a bright sphere, and a segmentation network that sees what is bright."""
    place = tmp_path_factory.mktemp("volume")
    values = np.random.default_rng(0).normal(0, 20, GRID) + np.where(ball(), 300, 0)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), AFFINE), place / "scan.nii.gz")
    network().save(place / "network.keras")
    (place / "labels.txt").write_text("background\nlesion\n")
    return place


def network():
    """Class 1 where the mean of 3 x 3 x 3 voxels is bright."""
    volume = keras.Input((12, 20, 16, 1))
    x = keras.layers.Conv3D(1, 3, padding="same", activation="relu", name="bright")(volume)
    model = keras.Model(volume, keras.layers.Conv3D(2, 1, activation="softmax", name="voxels")(x))
    model.get_layer("bright").set_weights([np.full((3, 3, 3, 1, 1), 1 / 27), np.full(1, -0.45)])
    model.get_layer("voxels").set_weights([np.array([[[[[0.0, 40.0]]]]]), np.array([1.0, 0.0])])
    return model


def explain(place, out, *more):
    line = f"{place / 'scan.nii.gz'} --keras-model {place / 'network.keras'} --out {out}".split()
    return main([*line, "--labels", str(place / "labels.txt"), "--method", *more])


def test_a_planted_sphere_is_found_on_the_grid_of_the_scan(place, tmp_path, capsys):
    assert explain(place, tmp_path / "out", "gradient_x_input", "grad_cam") == 0
    for method in ("gradient_x_input", "grad_cam"):
        (file,) = (tmp_path / "out").glob(f"*{method}.nii.gz")
        image = nibabel.load(file)
        np.testing.assert_array_equal(image.affine, AFFINE)
        heat = np.asarray(image.dataobj)
        assert heat.shape == GRID
        assert ball()[np.unravel_index(heat.argmax(), GRID)]
        positive = np.maximum(heat, 0)
        assert positive[ball()].sum() > 0.5 * positive.sum()  # it fills 3 % of the scan
    page = (tmp_path / "out" / "index.html").read_text()
    for plane in ("axial", "coronal", "sagittal"):
        assert page.count(f"<bdi>{plane}</bdi>") == 2
    assert page.count('class="slice"') == 6 and "logit of lesion in" in page
    assert "A volume of 20 x 16 x 12 voxels along axis 2" in page
    assert "2 GIFs, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--target", "background", "--region", "0:99,0:1,0:1", "--axis", "2"], 0),
        (["--region", "12:13,0:1,0:1"], "a region outside of its (12, 20, 16)"),
        (["--region", "3:2,0:1,0:1"], "such as 2:6,0:16,0:16. Received: '3:2,0:1,0:1'"),
        (["--target", "lesoin"], "'lesion'"),
        (["--target", "2"], "Expected a class from 0 to 1. Received: 2"),
        (["--window", "500", "600"], "Received: class 'lesion', which is predicted nowhere"),
        (["--window", "600", "500"], "low < high"),
        (["--axis", "1"], 0),
        (["--axis", "3"], "--axis: Expected one of 0, 1, 2. Received: 3."),
        (["--start", "3"], "argument --start: Expected a video or pictures with it"),
    ],
)
def test_classes_regions_and_axes(place, tmp_path, capsys, more, told):
    try:
        code = explain(place, tmp_path / "out", "gradient", *more)
    except SystemExit as left:
        code = left.code
    error = capsys.readouterr().err
    assert (code, error) == (0, "") if told == 0 else (code == 2 and told in error)


def test_what_is_shown_of_a_volume_is_asked_of_no_video(place, tmp_path, capsys):
    clips.write(place / "clip.gif", np.random.default_rng(0).random((12, 20, 16, 3)))
    with pytest.raises(SystemExit):
        main([str(place / "clip.gif"), "--axis", "1", "--out", str(tmp_path / "out")])
    assert "argument --axis: Expected a NIfTI volume with it" in capsys.readouterr().err


def test_the_same_volume_again_makes_nothing(place, tmp_path, capsys):
    times = []
    for _ in range(2):
        assert explain(place, tmp_path / "out", "gradient") == 0
        (record,) = (tmp_path / "out").glob("*.json")
        times.append({path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.gif")})
        assert len(times[-1]) == 4 and len(json.loads(record.read_text())["planes"]) == 3
    assert times[0] == times[1]
    next((tmp_path / "out").glob("*.nii.gz")).write_bytes(b"")
    assert explain(place, tmp_path / "out", "gradient") == 0
    assert next((tmp_path / "out").glob("*.nii.gz")).stat().st_size


def test_planes_stand_upright_in_their_proportions():
    slices = np.zeros((1, 2, 3, 3), np.float32)
    slices[0, 0, 0] = 1
    shown = planes._in_proportion(slices, 2.0, 1.0)  # pixels twice as high as wide
    assert shown.shape[1] / shown.shape[2] == pytest.approx(4 / 3, rel=0.02)
    # Rows are the file's third axis, up the body, and columns its second, to the right.
    np.testing.assert_array_equal(planes._upright(slices, AFFINE, 2, 1), slices[:, ::-1])
    turned = planes._upright(slices, AFFINE, 0, 1)  # backwards down the picture: as it is
    np.testing.assert_array_equal(turned, slices)
    swapped = planes._upright(slices, AFFINE, 1, 2)
    np.testing.assert_array_equal(swapped, np.swapaxes(slices, 1, 2)[:, ::-1])
    assert planes.plane_name(np.ones((4, 4)), 1) == "axis 1"
