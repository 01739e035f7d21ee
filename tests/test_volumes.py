"""NIfTI files come in and go out on the same grid."""

import numpy as np
import pytest

from c3dvis.clips.volumes import read_volume, resample, write_volume

nibabel = pytest.importorskip("nibabel", reason="NIfTI needs nibabel: extra volumes")
AFFINE = np.array([[0, -2, 0, 5.0], [1.5, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Values that say where they are, on a grid that is turned and not cubic."""
    path = tmp_path_factory.mktemp("scans") / "scan.nii.gz"
    values = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6) - 50
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    return path, values


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_heatmap_is_written_on_the_grid_it_explains(scan, tmp_path, axis, suffix):
    path, values = scan
    volume = read_volume(path, axis=axis)
    np.testing.assert_allclose(volume.clip[..., 0], np.moveaxis((values + 50) / 119, axis, 0))
    assert volume.window == (-50, 69) and volume.clip.dtype == np.float32
    heatmap = np.random.default_rng(0).standard_normal(volume.clip.shape[:3]).astype(np.float32)
    image = nibabel.load(write_volume(tmp_path / f"heat{suffix}", heatmap, volume))
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(image.dataobj), axis, 0), heatmap)
    assert [file.name for file in tmp_path.iterdir()] == [f"heat{suffix}"]


def test_a_window_cuts_off_what_is_beyond(scan):
    clip = read_volume(scan[0], window=(-10, 10)).clip
    assert (
        clip.min() == 0 and clip.max() == 1 and (clip == 0).sum() == 41 and (clip == 1).sum() == 60
    )


def test_another_shape_is_resampled_and_put_back(scan, tmp_path):
    """A linear ramp stays one; along each axis its slope is that of the new grid."""
    volume = read_volume(scan[0], shape=(12, 8, 10))
    assert volume.clip.shape == (12, 8, 10, 1)
    slopes = [np.diff(volume.clip[..., 0], axis=axis)[4:6, 3:5, 4:6].mean() for axis in range(3)]
    np.testing.assert_allclose(slopes, np.array([1 / 2, 30 / 2, 6 / 2]) / 119, rtol=1e-4)
    write_volume(tmp_path / "heat.nii", np.ones((12, 8, 10)), volume)
    stored = np.asarray(nibabel.load(tmp_path / "heat.nii").dataobj)
    assert stored.shape == (4, 5, 6)
    np.testing.assert_allclose(stored, 1, rtol=1e-6)


def test_four_axes_become_channels(tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.ones((3, 4, 5, 2), np.float32), np.eye(4)), tmp_path / "t.nii"
    )
    assert read_volume(tmp_path / "t.nii").clip.shape == (5, 3, 4, 2)


def test_wrong_files_and_arguments_are_refused(scan, tmp_path):
    (tmp_path / "text.nii").write_text("no scan")
    (tmp_path / "cut.nii.gz").write_bytes(scan[0].read_bytes()[:200])
    for path in ("text.nii", "cut.nii.gz", "none.nii"):
        with pytest.raises(ValueError, match=f"Expected a NIfTI file. Received: .*{path}"):
            read_volume(tmp_path / path)
    values = np.full((2, 2, 2), np.nan, np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "nan.nii")
    with pytest.raises(ValueError, match="Expected finite values. Received: 8"):
        read_volume(tmp_path / "nan.nii")
    volume = read_volume(scan[0])
    with pytest.raises(ValueError, match="Expected axis 0, 1 or 2. Received: 3"):
        read_volume(scan[0], axis=3)
    for window in ((1, 1), 5):
        with pytest.raises(ValueError, match="low < high"):
            read_volume(scan[0], window=window)
    with pytest.raises(ValueError, match=r"Expected values \(6, 4, 5\)"):
        write_volume(tmp_path / "heat.nii", np.zeros((4, 5, 6)), volume)
    with pytest.raises(ValueError, match=r"in .nii or .nii.gz. Received: 'heat.npy'"):
        write_volume(tmp_path / "heat.npy", np.zeros((6, 4, 5)), volume)
    for shape in ((0, 4, 5), 64):
        with pytest.raises(ValueError, match="positive integers"):
            resample(volume.clip, shape)
