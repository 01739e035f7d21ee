"""Parametrizations: what each can show, what it starts from, and what it holds fixed."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from c3dvis import clips, objectives
from c3dvis.maximize import Maximizer, parametrizations, scores
from c3dvis.maximize.parametrizations import _grids as grids
from c3dvis.maximize.parametrizations._colours import to_clips, to_signals
from c3dvis.models.i3d import FlowInput

EXTENT = (8, 24, 24)
KINDS = {
    **{name: parametrizations.build(name) for name in parametrizations.names()},
    "grey fourier": parametrizations.Fourier(colours="grey"),
    "maco held in time": parametrizations.MaCo(hold_time=True),
    "shared between clips": parametrizations.Shared(between="clips"),
    "alpha of pixels": parametrizations.Alpha(parametrizations.Pixels()),
    "texture-flow of pixels": parametrizations.TextureFlow(parametrizations.Pixels()),
}


def started(kind, shape=(1, *EXTENT, 3), seed=0):
    layer = parametrizations.build(kind)
    layer.build(shape)
    layer.restart([np.random.default_rng([seed, i]) for i in range(shape[0])])
    return layer


def decoded(layer) -> np.ndarray:
    return ops.convert_to_numpy(layer.decode())


def signal(layer) -> np.ndarray:
    return ops.convert_to_numpy(layer.signal([ops.convert_to_tensor(p) for p in layer.latents]))


class Decodes(keras.Model):
    """A model whose output, whatever it is fed, is the clips of a parametrization."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.built = True

    def call(self, inputs):
        return self.layer.decode()


def fit(layer, target, steps: int, optimizer):
    model = Decodes(layer)
    # To trace a step takes as long as many steps.
    options = {"run_eagerly": steps < 10}
    model.compile(optimizer, loss=lambda target, shown: ops.mean((target - shown) ** 2), **options)
    for _ in range(steps):  # `model.fit` waits for its data after each of many short fits
        model.train_on_batch(np.zeros((len(target), 1)), target)


# --- all of them ---


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_clips_are_finite_and_in_range_and_every_weight_counts(kind, channels):
    layer = started(KINDS[kind], (2, 4, 12, 11, channels))
    shown = decoded(layer)
    transparent = kind.startswith("alpha")
    assert shown.shape == (2, 4, 12, 11, channels + transparent) and shown.dtype == np.float32
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1
    assert shown.std() > 0.01
    before = [ops.convert_to_numpy(part) for part in layer.latents]
    assert {id(p) for p in layer.latents} == {id(v) for v in layer.trainable_variables}
    # Plain descent moves no weight whose gradient is 0; towards noise, so that nothing cancels.
    noise = np.random.default_rng(0).random(shown.shape, np.float32)
    fit(layer, noise, 1, keras.optimizers.SGD(1e4))
    for old, part in zip(before, layer.latents, strict=True):
        # Imaginary parts of real coefficients don't count, and the mean of MaCo's phases.
        assert np.mean(ops.convert_to_numpy(part) != old) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_draws_give_the_same_start_whatever_the_batch(kind):
    def generators():
        return [np.random.default_rng(i) for i in range(3)]

    many = started(KINDS[kind], (3, 4, 12, 10, 3))
    many.restart(generators())
    one = started(KINDS[kind], (1, 4, 12, 10, 3))
    one.restart(generators()[2:])
    np.testing.assert_allclose(decoded(many)[2:], decoded(one), atol=1e-6)
    assert np.abs(decoded(many)[1] - decoded(one)[0]).max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_the_settings_and_not_the_weights(kind):
    layer = started(KINDS[kind])
    config = layer.get_config()
    assert json.loads(json.dumps(config)) == config
    copy = layer.copy()
    assert copy.get_config() == config and not copy.built
    copy.build((2, 4, 12, 10, 3))  # another shape than the first one's
    copy.restart([np.random.default_rng(i) for i in range(2)])
    assert decoded(copy).shape[:4] == (2, 4, 12, 10)


def tiny_network(channels: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    clip = keras.Input((6, 16, 16, channels))
    x = keras.layers.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(clip)
    x = keras.layers.Conv3D(4, 3, padding="same", name="conv2")(x)
    return keras.Model(clip, x)


def in_colour_and_plain_ones_in_any(kinds) -> list[tuple[str, int]]:
    """Each kind with 3 channels; colours are made of signals in one place, so 1 and 2 of one kind.

    That each kind has every number of channels, and a gradient, is tested above.
    """
    return [(kind, 3) for kind in kinds] + [("pixels", 1), ("pixels", 2)]


@pytest.mark.parametrize(
    "kind, channels", in_colour_and_plain_ones_in_any(parametrizations.names())
)
def test_a_channel_rises_over_10_steps(kind, channels):
    objective = objectives.channel("conv2", [0, 2])
    maximizer = Maximizer(tiny_network(channels), objective, parametrization=kind, transforms=[])
    before = [result.score for result in maximizer.make(steps=1)]
    for result, start in zip(maximizer.make(steps=11), before, strict=True):
        assert result.status == "ok" and result.score > start
        assert np.isfinite(result.clip).all() and result.clip.min() >= 0 and result.clip.max() <= 1


# --- what each can represent ---


def moving_spots(channels: int) -> np.ndarray:
    """Three soft spots of different colours that cross a clip: `(1, *EXTENT, C)`."""
    frames, height, width = EXTENT
    time, row, column = np.meshgrid(*(np.arange(n) for n in EXTENT), indexing="ij")
    clip = np.full((*EXTENT, channels), 0.4)
    draw = np.random.default_rng(5)
    for _ in range(3):
        start, end = draw.uniform(4, 20, (2, 2))
        y, x = (a + (b - a) * time / frames for a, b in zip(start, end, strict=True))
        spot = np.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * 3.5**2))
        clip += spot[..., None] * draw.uniform(-0.3, 0.5, channels)
    return np.clip(clip, 0.05, 0.95)[None].astype(np.float32)


# Steps of Adam within which the mean absolute error falls under 0.02.
STEPS = {
    "pixels": 100,
    "fourier": 200,
    "pyramid": 200,
    "cppn": 300,
    "shared": 200,
    "shared between clips": 200,
    "alpha": 200,
}


def error(layer, target, steps: int, rate: float = 0.05) -> float:
    fit(layer, target, steps, keras.optimizers.Adam(rate))
    return float(np.abs(decoded(layer) - target).mean())


@pytest.mark.parametrize("kind, channels", in_colour_and_plain_ones_in_any(STEPS))
def test_smooth_moving_content_is_fitted(kind, channels):
    target = moving_spots(channels + kind.startswith("alpha"))
    layer = started(KINDS[kind], (1, *EXTENT, channels))
    assert np.abs(decoded(layer) - target).mean() > 0.04
    assert error(layer, target, STEPS[kind]) < 0.02


@pytest.mark.parametrize("hold_time", [False, True])
def test_maco_fits_clips_of_its_magnitude(hold_time):
    """From other phases. It can show no other clips, by design."""
    kind = parametrizations.MaCo(hold_time=hold_time)
    target = decoded(started(kind, seed=1))
    layer = started(kind, seed=2)
    assert np.abs(decoded(layer) - target).mean() > 0.1
    assert error(layer, target, 200) < 0.02


def test_texture_flow_fits_a_picture_that_moves():
    """All it can show is one picture, moved and bent."""
    picture = moving_spots(3)[0, 0]
    steps = np.arange(8) - 4
    target = np.stack([np.roll(picture, (s, -s), axis=(0, 1)) for s in steps])[None]
    layer = started("texture-flow")
    assert np.abs(decoded(layer) - target).mean() > 0.05
    assert error(layer, target, 400) < 0.02


# --- Fourier ---


def test_fourier_fits_a_clip_with_edges():
    draw = np.random.default_rng(1)
    coarse = draw.uniform(0.2, 0.8, (1, 2, 3, 3, 3))
    target = coarse.repeat(4, 1).repeat(6, 2).repeat(6, 3).astype(np.float32)
    assert error(started("fourier", target.shape), target, 800) < 0.02


def test_fourier_starts_with_the_spectrum_it_promises():
    layer = parametrizations.Fourier(
        deviation=1.0, colours="independent", spatial_exponent=1.0, temporal_exponent=2.0
    )
    waves = signal(started(layer, (4, 16, 24, 22, 3)))
    assert 0.9 < waves.std() < 1.1
    power = (np.abs(np.fft.fftn(waves, axes=(1, 2, 3))) ** 2).mean(axis=(0, 4))
    time, row, column = np.meshgrid(*(np.fft.fftfreq(n) for n in (16, 24, 22)), indexing="ij")
    flat = power * (np.maximum(24 * np.hypot(row, column), 1) ** 2 + (24 * time) ** 4)
    slow = np.abs(time) < 0.2
    np.testing.assert_allclose(flat[slow].mean(), flat[~slow].mean(), rtol=0.1)
    fine = np.hypot(row, column) > 0.3
    np.testing.assert_allclose(flat[fine].mean(), flat[~fine].mean(), rtol=0.1)


@pytest.mark.parametrize("width", [10, 11])
def test_fourier_is_the_inverse_transform_of_numpy(width):
    layer = started("fourier", (2, 6, 8, width, 3))
    real, imaginary = (ops.convert_to_numpy(part) * layer.amplitude for part in layer.latents)
    spectrum = np.transpose(real + 1j * imaginary, (0, 3, 4, 2, 1))  # to (N, T, H, W', K)
    expected = np.fft.irfftn(spectrum, s=(6, 8, width), axes=(1, 2, 3))
    np.testing.assert_allclose(signal(layer), expected, atol=1e-5)


def test_larger_exponents_are_slower_in_time_and_smoother_in_space():
    def changes(**exponents):
        layer = started(parametrizations.Fourier(deviation=1.0, **exponents), (4, 16, 24, 24, 1))
        waves = signal(layer)
        return [np.abs(np.diff(waves, axis=axis)).mean() for axis in (1, 2)]

    plain, slow = changes(), changes(temporal_exponent=2.5)
    smooth = changes(spatial_exponent=2.5)
    assert slow[0] < 0.7 * plain[0] and smooth[1] < 0.7 * plain[1]


# --- MaCo ---


@pytest.mark.parametrize("hold_time", [False, True])
@pytest.mark.parametrize("width", [16, 15])
def test_the_magnitude_stays_held_while_a_channel_rises(hold_time, width):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((6, 16, width, 3)), keras.layers.Conv3D(4, 3, name="conv")]
    )
    kind = parametrizations.MaCo(hold_time=hold_time, contrast=0.8)
    maximizer = Maximizer(network, objectives.channel("conv", [0, 1]), parametrization=kind)

    def power():
        spectra = np.fft.rfftn(signal(maximizer.parametrization), axes=(1, 2, 3))
        return np.abs(spectra) ** 2 if hold_time else (np.abs(spectra) ** 2).sum(axis=1)

    maximizer.restart(maximizer.objective)
    start = power()
    phases = signal(maximizer.parametrization)
    assert all(result.status == "ok" for result in maximizer.make(steps=10))
    assert np.abs(signal(maximizer.parametrization) - phases).mean() > 0.2
    np.testing.assert_allclose(power(), start, rtol=2e-3, atol=1e-3 * start.mean())
    np.testing.assert_allclose(signal(maximizer.parametrization).std(), 0.8, rtol=0.1)


def test_maco_takes_a_magnitude_measured_on_clips():
    films = np.concatenate([moving_spots(3), moving_spots(3)[:, ::-1]])
    measured = parametrizations.magnitude_of(films)
    assert measured.shape == (8, 24, 13, 3)
    signals = to_signals(films[:1], "decorrelated")
    power = np.abs(np.fft.fftn(signals, axes=(1, 2, 3)))[0] ** 2
    np.testing.assert_allclose(measured[0, 2, 3] ** 2, power[0, 2, 3], rtol=1e-4)
    kind = parametrizations.MaCo(magnitude=measured, hold_time=True)
    held = parametrizations.magnitude_of(decoded(started(kind)).astype(float))
    big = measured > 0.02 * measured[1:].max()
    big[0, 0, 0] = False  # the mean is not held but grey
    ratio = held[big] / measured[big]
    assert ratio.std() < 1e-2 * ratio.mean()


# --- texture and flow ---


def test_a_constant_flow_moves_the_picture_as_a_whole():
    layer = started(parametrizations.TextureFlow(speed=2.0), (1, 6, 12, 10, 1))
    velocity = np.zeros(layer.latents[-1].shape, np.float32)
    velocity[..., 0], velocity[..., 1] = 0.5, -1.0  # 1 pixel to the right, 2 up
    layer.latents[-1].assign(velocity)
    frames = signal(layer)[0]
    for frame in range(6):
        steps = frame - 3
        expected = np.roll(frames[3], (-2 * steps, steps), axis=(0, 1))
        np.testing.assert_allclose(frames[frame], expected, atol=1e-5)


def test_half_a_pixel_is_the_mean_of_two():
    layer = started(parametrizations.TextureFlow(parametrizations.Pixels()), (1, 2, 4, 6, 1))
    velocity = np.zeros(layer.latents[-1].shape, np.float32)
    velocity[..., 0] = -0.5
    layer.latents[-1].assign(velocity)
    before, picture = signal(layer)[0]
    np.testing.assert_allclose(before, (picture + np.roll(picture, 1, axis=1)) / 2, atol=1e-6)


# --- coarse grids ---


@pytest.mark.parametrize("make", [grids.linear, grids.smooth])
@pytest.mark.parametrize("length, points", [(8, 8), (8, 4), (7, 3), (5, 1), (6, 5)])
def test_a_level_grid_stays_level(make, length, points):
    matrix = make(length, points)
    assert matrix.shape == (length, points) and (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


def test_a_pyramid_adds_up_its_grids():
    layer = started(parametrizations.Pyramid(levels=2, fineness=1.0), (1, 2, 4, 4, 1))
    fine, coarse = (ops.convert_to_numpy(part) for part in layer.latents)
    assert fine.shape == (1, 2, 4, 4, 1) and coarse.shape == (1, 1, 2, 2, 1)
    half = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    expected = fine[0, :, :, :, 0] + half @ coarse[0, 0, :, :, 0] @ half.T
    np.testing.assert_allclose(signal(layer)[0, ..., 0], expected * layer.gains[0], atol=1e-6)
    assert layer.gains[0] == layer.gains[1]
    steep = started(parametrizations.Pyramid(levels=2, fineness=0.5), (1, 2, 4, 4, 1))
    assert steep.gains[0] == 0.5 * steep.gains[1]


def test_a_pyramid_has_no_more_levels_than_halvings():
    assert len(started(parametrizations.Pyramid(levels=9), (1, 4, 8, 8, 3)).latents) == 4


def test_a_cppn_is_the_same_picture_at_any_size():
    small, large = (started("cppn", (1, 4, size, size, 3)) for size in (24, 72))
    # The middle pixel of each 3 x 3 lies where the small one's pixel does.
    np.testing.assert_allclose(decoded(large)[:, :, 1::3, 1::3], decoded(small), atol=1e-4)


# --- shared ---


@pytest.mark.parametrize("between, axis", [("clips", 0), ("frames", 1)])
def test_shared_grids_add_the_same_to_all(between, axis):
    layer = started(parametrizations.Shared(between=between), (3, 4, 16, 16, 3))
    before = signal(layer)
    draw = np.random.default_rng(0)
    for part in layer.shared:
        part.assign(draw.standard_normal(part.shape))
    added = signal(layer) - before
    first = np.take(added, [0], axis)
    assert np.abs(first).max() > 1
    np.testing.assert_allclose(added, np.broadcast_to(first, added.shape), atol=1e-5)
    assert np.abs(np.diff(added, axis=2)).max() > 0.1
    assert layer.batchwise == (between == "clips")


def test_clips_that_share_are_made_at_once():
    network = tiny_network(3)
    objective = objectives.channel("conv2", range(3))
    kind = parametrizations.Shared(between="clips")
    maximizer = Maximizer(network, objective, parametrization=kind, batch_size=2)
    assert maximizer.batch_size == 3
    assert [result.status for result in maximizer.make(steps=3)] == ["ok"] * 3
    with pytest.raises(ValueError, match="Expected 3 units.*Received: 2"):
        list(maximizer.make(objective[:2], steps=1))
    assert Maximizer(network, objective, parametrization="shared", batch_size=2).batch_size == 2


# --- alpha ---


def test_a_background_shows_where_a_clip_is_clear():
    layer = started("alpha")
    over = layer.transforms[1]
    draw = np.random.default_rng(0)
    clip = draw.random((2, *EXTENT, 4), np.float32)
    clip[..., 3] = (np.arange(24) >= 12)[:, None]  # clear above, opaque below
    shown = ops.convert_to_numpy(over(clip, draw.random((2, over.uniforms), np.float32)))
    assert shown.shape == (2, *EXTENT, 3) and shown.min() >= 0 and shown.max() <= 1
    np.testing.assert_array_equal(shown[:, :, 12:], clip[:, :, 12:, :, :3])
    background = shown[:, :, :12]
    assert background.std() > 0.05 and np.abs(background[0] - background[1]).mean() > 0.05
    assert np.abs(np.diff(background, axis=3)).max() < 0.2  # smooth
    grey = ops.convert_to_numpy(over(clip, np.full((2, over.uniforms), 0.5, np.float32)))
    np.testing.assert_allclose(grey[:, :, :12], 0.5)


def test_what_a_unit_does_not_see_becomes_clear():
    """A convolution that is read at one place only."""
    clip = keras.Input((6, 24, 24, 3))
    middle = keras.layers.Cropping3D((0, 8, 8))(clip)
    keras.utils.set_random_seed(0)
    network = keras.Model(clip, keras.layers.Conv3D(2, 3, name="conv")(middle))
    objective = objectives.channel("conv", [0, 1])
    maximizer = Maximizer(network, objective, parametrization="alpha", transforms=[])
    for result in maximizer.make(steps=100):
        assert result.status == "ok" and result.clip.shape == (6, 24, 24, 4)
        alpha = result.clip[..., 3]
        seen = alpha[:, 9:15, 9:15].mean()
        unseen = np.concatenate([alpha[:, :5].ravel(), alpha[:, 19:].ravel()]).mean()
        assert unseen < 0.3 and seen > 2 * unseen
    # The score is that of the clip over grey.
    over_grey = clips.to_rgb(result.clip, background=0.5)
    expected = scores(network, objective, over_grey[None])[0, 1]
    np.testing.assert_allclose(result.score, expected, rtol=1e-3)


def test_the_reward_presses_by_a_share_of_the_mean_pull():
    """Descent on a sum that pulls one clip's opacity up by 2 here and by 0 there."""
    layer = parametrizations.Alpha(reward=0.5)
    layer.build((1, 2, 4, 4, 1))
    clearing = layer.transforms[0]
    pull = np.zeros((1, 2, 4, 4, 2), np.float32)
    pull[:, 0, ..., 1] = -2  # of the loss; the mean of its size is 1
    pressed = ops.convert_to_numpy(clearing.condition(ops.convert_to_tensor(pull)))
    np.testing.assert_allclose(pressed[:, 0, ..., 1], -1.5)
    np.testing.assert_allclose(pressed[:, 1, ..., 1], 0.5)
    np.testing.assert_array_equal(pressed[..., 0], 0)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_clear_clips_read_back_with_their_alpha(tmp_path, ending):
    layer = started("alpha")
    for part in layer.opacity.latents:
        part.assign(np.random.default_rng(0).normal(-0.6, 2, part.shape))
    clip = decoded(layer)[0]
    alpha = clip[..., 3]
    assert (alpha < 0.2).mean() > 0.1 and (alpha > 0.8).mean() > 0.1
    clips.write(tmp_path / f"clip.{ending}", clip)
    with Image.open(tmp_path / f"clip.{ending}") as image:
        assert image.n_frames == len(clip)
        for index in range(image.n_frames):
            image.seek(index)
            read = np.asarray(image.convert("RGBA"))[..., 3] / 255
            expected = alpha[index].round() if ending == "gif" else alpha[index]
            clear_cut = np.abs(alpha[index] - 0.5) > 1 / 255
            np.testing.assert_allclose(read[clear_cut], expected[clear_cut], atol=1 / 255)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_clear_clips_of_any_colours_can_be_written(channels):
    clip = np.random.default_rng(0).random((2, 4, 4, channels + 1), np.float32)
    shown = parametrizations.rgba(clip)
    np.testing.assert_array_equal(shown[..., 3], clip[..., -1])
    np.testing.assert_array_equal(shown[..., :3], clips.to_rgb(clip[..., :-1]))


# --- colours ---


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("colours", ["decorrelated", "opponent", "independent"])
def test_signals_of_clips_give_the_clips(colours, channels):
    clip = np.random.default_rng(0).uniform(0.05, 0.95, (2, 3, 4, 5, channels))
    again = to_clips(to_signals(clip, colours).astype(np.float32), colours, channels)
    np.testing.assert_allclose(ops.convert_to_numpy(again), clip, atol=1e-5)


def test_grey_has_three_equal_channels_from_one():
    layer = started(parametrizations.Fourier(colours="grey"))
    assert layer.latents[0].shape[1] == 1
    shown = decoded(layer)
    assert shown.shape[-1] == 3
    np.testing.assert_array_equal(shown, shown[..., :1].repeat(3, -1))


def test_flow_networks_get_pixels_a_frame():
    """Fastest to the right is 20 pixels per frame; what moves left takes values under 0.5."""
    clip = keras.Input((4, 8, 8, 2))
    mean = keras.layers.GlobalAveragePooling3D(name="mean")(FlowInput()(clip))
    network = keras.Model(clip, mean)
    direction = objectives.channel("mean", 0) - objectives.channel("mean", 1)
    maximizer = Maximizer(
        network,
        direction,
        parametrization="pixels",
        preprocess=parametrizations.flow_in_pixels(20.0),
    )
    (result,) = maximizer.make(steps=20)
    right, down = result.clip[..., 0], result.clip[..., 1]
    assert right.mean() > 0.7 and down.mean() < 0.3
    np.testing.assert_allclose(result.score, 2 * right.mean() - 2 * down.mean(), rtol=1e-4)


# --- refusals ---


def test_every_parametrization_is_built_in_the_colours_that_are_asked_for():
    for name in parametrizations.names():
        built = parametrizations.build(name, colours="independent")
        assert built.colours == "independent" and built.copy().colours == "independent", name
        assert parametrizations.build(name).colours == "decorrelated", name


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: parametrizations.build("furier"), "'fourier'.*Received: 'furier'"),
        (lambda: parametrizations.build(None), "Received: None"),
        (lambda: parametrizations.Pixels(deviation=0), "deviation.*Received: 0"),
        (lambda: parametrizations.Fourier(colours="gray"), "'grey'.*Received: 'gray'"),
        (lambda: parametrizations.Fourier(spatial_exponent=np.nan), "spatial_exponent.*nan"),
        (
            lambda: parametrizations.Pyramid(levels=0),
            "levels.*Received: 0",
        ),
        (lambda: parametrizations.CPPN(units=2.5), "units.*Received: 2.5"),
        (lambda: parametrizations.MaCo(contrast=-1), "contrast.*Received: -1"),
        (lambda: parametrizations.MaCo(magnitude=np.ones((4, 4))), "Received: shape \\(4, 4\\)"),
        (
            lambda: started(parametrizations.MaCo(magnitude=np.ones((8, 24, 24, 3)))),
            r"\(8, 24, 13, 3\). Received: \(8, 24, 24, 3\)",
        ),
        (lambda: parametrizations.magnitude_of(np.ones((4, 4, 4, 3))), r"N, T, H, W, C"),
        (lambda: parametrizations.magnitude_of(np.full((1, 4, 4, 4, 3), 255.0)), "to 255"),
        (lambda: parametrizations.Shared(between="frame"), "'frames'.*Received: 'frame'"),
        (lambda: parametrizations.Shared(factors=()), "factors"),
        (lambda: parametrizations.Shared(factors=4), r"factors such as \(4, 8\). Received: 4"),
        (lambda: parametrizations.Shared(factors=("4",)), "factors.*Received: '4'"),
        (lambda: parametrizations.TextureFlow(points=3), "in time, along a side.*Received: 3"),
        (lambda: parametrizations.Shared("fourier"), "to wrap. Received: 'fourier'"),
        (lambda: parametrizations.TextureFlow(points=(0, 4)), "points.*Received: 0"),
        (lambda: parametrizations.TextureFlow(speed=0), "speed.*Received: 0"),
        (lambda: parametrizations.Alpha(parametrizations.Alpha()), "without alpha"),
        (lambda: parametrizations.Alpha(reward=-1), "reward of 0 or more. Received: -1"),
        (lambda: parametrizations.flow_in_pixels(0), "bound above 0"),
        (
            lambda: parametrizations.build(parametrizations.Pixels(), colours="grey"),
            "Received: colours together with a Pixels",
        ),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
