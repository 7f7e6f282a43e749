"""Networks of segmentation heads: what they answer, how many weights they have, that they can be kept."""

import math
from collections.abc import Iterator
from typing import Any, cast

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from carclf.errors import TrainingError
from carclf.mask_architectures import ARCHITECTURES, FROM_PIXELS, ON_MAPS, size_multiple, size_problem
from carclf.masks import decoder as decoder_module
from carclf.masks.decoder import MaskDecoder
from carclf.masks.map_reader import MapReader
from carclf.masks.networks import BUILDERS, make_network
from carclf.masks.parts import Entry, set_scaling
from carclf.masks.spec import NetworkSpec, mirror_back

MAPS = {"P5": (10, 10, 5), "P4": (19, 19, 4), "P3": (38, 38, 3)}  # as a photo of 300 pixels gives them
MIRROR = (1, 0)  # "left" becomes "right"
WIDTH = 8
FLEXIBLE: dict[str, Any] = {
    "base_filters": 4,
    "base_kernels": [7, 5],
    "num_layers": 4,
    "dilation": [2, 1],
    "dropout_rate": 0.1,
    "normalization": True,
    "activation": "relu",
}
XCEPTION: dict[str, Any] = {"momentum": 0.9, "filters": [4, 8, 8]}
PUBLISHED_XCEPTION = (
    *(896, 128),  # entry
    *(2_400, 256, 4_736, 256, 2_112),  # shrinking blocks: separable, norm, separable, norm, shortcut
    *(8_896, 512, 17_664, 512, 8_320),
    *(34_176, 1_024, 68_096, 1_024, 33_024),
    *(590_080, 1_024, 590_080, 1_024, 65_792),  # growing blocks
    *(295_040, 512, 147_584, 512, 32_896),
    *(73_792, 256, 36_928, 256, 8_256),
    *(18_464, 128, 9_248, 128, 2_080),
    *(867,),
)
"""Parameters of each layer with any, for 3 classes: the table of keras.io's example "Image segmentation with a
U-Net-like architecture"."""


def make_spec(architecture: str, size: int = 32, **options: Any) -> NetworkSpec:
    if architecture in ON_MAPS:
        return NetworkSpec(architecture, dict(MAPS), 2, MIRROR, {"channels": WIDTH, **options})
    given = FLEXIBLE if architecture == "flexunet" else XCEPTION
    return NetworkSpec(architecture, {"P0": (size, size, 3)}, 2, MIRROR, {**given, **options})


def random_maps(spec: NetworkSpec, num_photos: int, views: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {level: random.random((views, num_photos, *shape)) for level, shape in spec.map_shapes.items()}


def first_view(maps: dict[str, np.ndarray]) -> dict[str, Any]:
    return {level: tf.constant(value[0], tf.float32) for level, value in maps.items()}


def shaken(model: Any) -> Any:
    """Every weight, biases and running statistics too, away from its first value."""
    random = np.random.default_rng(5)
    model.set_weights([weight.numpy() + random.uniform(0.01, 0.1, weight.shape) for weight in model.weights])
    return model


def probabilities(logits: Any) -> Any:
    """Of background and classes, (..., C) -> (..., C + 1): the background's logit is 0."""
    return tf.nn.softmax(tf.concat([tf.zeros_like(logits[..., :1]), logits], axis=-1))


def count(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def entry_size(level: str, filters: int) -> int:
    """Kernel and bias, and mean and scale that are not trained."""
    channels = MAPS[level][2]
    return channels * filters + filters + 2 * channels


def convolution_size(kernel: int, given: int, filters: int) -> int:
    return kernel * given * filters + filters


def layers_of(model: Any, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_every_name_has_a_builder() -> None:
    assert tuple(BUILDERS) == ARCHITECTURES
    assert not set(ON_MAPS) & set(FROM_PIXELS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_lie_on_the_finest_grid(architecture: str) -> None:
    spec = make_spec(architecture)
    decoder = MaskDecoder(spec, make_network(spec, 0.0, 0))
    side = 38 if architecture in ON_MAPS else 32
    assert decoder.grid == (side, side)
    outputs = 5 if architecture == "panoptic" else 2
    answer = decoder.predict_logits(random_maps(spec, 3))
    assert answer.shape == (3, side, side, outputs)
    assert answer.dtype == np.float32
    assert np.isfinite(answer).all()


@pytest.mark.parametrize("architecture", ON_MAPS)
def test_one_level_is_enough_and_grids_need_not_be_square(architecture: str) -> None:
    spec = NetworkSpec(architecture, {"P3": (6, 9, 3)}, 1, (0,), {"channels": 4})
    decoder = MaskDecoder(spec, make_network(spec, 0.0, 0))
    assert decoder.predict_logits(random_maps(spec, 1)).shape == (1, 6, 9, spec.num_outputs)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_seed_alone_decides_the_weights_and_the_dropout(architecture: str) -> None:
    spec = make_spec(architecture)
    built = []
    for global_seed, seed in ((1, 7), (2, 7), (1, 8)):
        keras.utils.set_random_seed(global_seed)
        built.append(make_network(spec, 0.3, seed))
    one, again, other = ([weight.numpy().tobytes() for weight in model.weights] for model in built)
    assert one == again
    assert one != other
    photos = first_view(random_maps(spec, 2))
    first, second = (np.asarray(model(photos, training=True)) for model in built[:2])
    np.testing.assert_array_equal(first, second)
    kernels = [weight.numpy().tobytes() for weight in built[0].weights if weight.path.endswith("kernel")]
    assert len(set(kernels)) == len(kernels), "two layers share a seed"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_is_learnt(architecture: str) -> None:
    spec = make_spec(architecture)
    model = make_network(spec, 0.0, 3)
    photos = first_view(random_maps(spec, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(photos, training=True) ** 2)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kept_and_read_again_a_network_answers_the_same_bits(architecture: str, tmp_path: Any) -> None:
    spec = make_spec(architecture)
    fitted = MaskDecoder(spec, shaken(make_network(spec, 0.3, 3)))
    maps = random_maps(spec, 4, views=2)
    np.savez(tmp_path / "network.npz", **cast(dict[str, Any], fitted.to_arrays()))
    with np.load(tmp_path / "network.npz", allow_pickle=False) as arrays:
        loaded = MaskDecoder.from_arrays(arrays)
    assert loaded.spec == spec
    together = fitted.predict_logits(maps)
    np.testing.assert_array_equal(loaded.predict_logits(maps), together)
    alone = loaded.predict_logits({level: value[:, 2:3] for level, value in maps.items()})
    np.testing.assert_allclose(alone[0], together[2], atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_answer_to_a_mirrored_photo_is_turned_back(architecture: str) -> None:
    spec = make_spec(architecture)
    decoder = MaskDecoder(spec, make_network(spec, 0.0, 3))
    maps = random_maps(spec, 2, views=2)
    plain, mirrored = (decoder.predict_logits({level: maps[level][[view]] for level in maps}) for view in (0, 1))
    turned = mirrored[:, :, ::-1].copy()
    turned[..., :2] = turned[..., 1::-1]
    if architecture == "panoptic":
        turned[..., 4] *= -1  # "3 cells to the right" of a mirrored photo is "3 to the left"
    np.testing.assert_allclose(decoder.predict_logits(maps), (plain + turned) / 2, atol=1e-6)


def test_targets_are_mirrored_there_and_back() -> None:
    grid = np.random.default_rng(0).random((2, 3, 4, 3)).astype(np.float16)
    turned = mirror_back(grid, (1, 0, 2))
    assert turned.dtype == np.float16
    np.testing.assert_array_equal(turned[:, :, 0, 0], grid[:, :, 3, 1])
    np.testing.assert_array_equal(mirror_back(turned, (1, 0, 2)), grid)
    offsets = mirror_back(grid, (0, 1, 2), (1, 1, -1))
    assert offsets.dtype == np.float16
    np.testing.assert_array_equal(offsets[:, :, 0], grid[:, :, 3] * np.array([1, 1, -1], np.float16))


def test_a_spec_is_kept_as_text() -> None:
    spec = make_spec("panoptic")
    assert NetworkSpec.from_json(spec.to_json()) == spec
    assert spec.levels == ["P5", "P4", "P3"]
    assert spec.num_outputs == 5
    assert spec.mirror_index == (1, 0, 2, 3, 4)
    assert spec.mirror_signs == (1, 1, 1, 1, -1)
    plain = make_spec("fpn")
    assert (plain.num_outputs, plain.mirror_index, plain.mirror_signs) == (2, (1, 0), (1, 1))


@pytest.mark.parametrize("architecture", ON_MAPS)
def test_scaling_equals_standardised_maps(architecture: str) -> None:
    spec = make_spec(architecture)
    random = np.random.default_rng(1)
    means = {level: random.normal(size=shape[2]) for level, shape in MAPS.items()}
    variances = {level: random.uniform(0.5, 4, shape[2]) for level, shape in MAPS.items()}
    model = make_network(spec, 0.0, 3)
    maps = first_view(random_maps(spec, 2))
    scaled = {level: (maps[level] - means[level]) / np.sqrt(variances[level] + 1e-3) for level in MAPS}
    expected = np.asarray(model(scaled))
    set_scaling(model, means, variances)
    np.testing.assert_allclose(np.asarray(model(maps)), expected, atol=1e-4)


def test_scaling_leaves_networks_from_pixels_alone() -> None:
    model = make_network(make_spec("unet_xception"), 0.0, 3)
    before = [weight.numpy() for weight in model.weights]
    set_scaling(model, {"P0": np.ones(3)}, {"P0": np.ones(3)})
    assert all((weight.numpy() == kept).all() for weight, kept in zip(model.weights, before, strict=True))


def test_parameters_of_fpn_and_panoptic() -> None:
    trunk = sum(entry_size(level, WIDTH) for level in MAPS) + 3 * convolution_size(9, WIDTH, WIDTH)
    classes = convolution_size(1, 3 * WIDTH, WIDTH) + convolution_size(9, WIDTH, WIDTH) + convolution_size(1, WIDTH, 2)
    assert make_network(make_spec("fpn"), 0.0, 0).count_params() == trunk + classes
    half = WIDTH // 2
    regions = convolution_size(1, 3 * WIDTH, half) + convolution_size(9, half, half) + convolution_size(1, half, 3)
    assert make_network(make_spec("panoptic"), 0.0, 0).count_params() == trunk + classes + regions


def test_parameters_of_unet() -> None:
    pairs = 2 * convolution_size(9, WIDTH, WIDTH)
    pairs += 2 * (convolution_size(9, 2 * WIDTH, WIDTH) + convolution_size(9, WIDTH, WIDTH))
    expected = sum(entry_size(level, WIDTH) for level in MAPS) + pairs + convolution_size(1, WIDTH, 2)
    assert make_network(make_spec("unet"), 0.0, 0).count_params() == expected


def test_parameters_of_deeplab() -> None:
    width, low = 16, 3  # 48 of 256
    pyramid = 2 * convolution_size(1, width, width) + 3 * convolution_size(9, width, width)
    pyramid += convolution_size(1, 5 * width, width)
    head = convolution_size(9, width + low, width) + convolution_size(9, width, width) + convolution_size(1, width, 2)
    expected = entry_size("P5", width) + entry_size("P3", low) + pyramid + head
    model = make_network(make_spec("deeplabv3plus", channels=width), 0.0, 0)
    assert model.count_params() == expected
    assert sorted(layer.dilation_rate for layer in layers_of(model, layers.Conv2D))[-3:] == [(2, 2), (4, 4), (6, 6)]
    other = make_network(make_spec("deeplabv3plus", rates=[1, 3]), 0.0, 0)
    assert sorted(layer.dilation_rate for layer in layers_of(other, layers.Conv2D))[-1] == (3, 3)


def test_deeplab_looks_at_the_coarsest_and_the_finest_level() -> None:
    spec = make_spec("deeplabv3plus")
    model = make_network(spec, 0.0, 3)
    maps = first_view(random_maps(spec, 1))
    answer = np.asarray(model(maps))
    for level, changes in (("P3", True), ("P4", False), ("P5", True)):
        changed = np.asarray(model({**maps, level: maps[level] + 1.0}))
        assert (changed != answer).any() == changes


def test_a_fresh_panoptic_network_says_that_one_cell_in_a_hundred_is_a_centre() -> None:
    spec = make_spec("panoptic")
    model = make_network(spec, 0.0, 3)
    answer = np.asarray(model({level: tf.zeros((1, *shape)) for level, shape in MAPS.items()}))
    np.testing.assert_allclose(1 / (1 + np.exp(-answer[..., 2])), 0.01, rtol=1e-5)
    np.testing.assert_array_equal(answer[..., 3:], 0)


def test_xception_has_the_published_parameters_layer_by_layer() -> None:
    spec = NetworkSpec("unet_xception", {"P0": (160, 160, 3)}, 2, (0, 1), {"momentum": 0.99})
    model = make_network(spec, 0.0, 0)
    sizes = [layer.count_params() for layer in model.layers if layer.count_params()]
    assert sorted(sizes) == sorted(PUBLISHED_XCEPTION)
    assert model.count_params() == 2_058_979
    assert count(model.trainable_weights) == 2_055_203
    assert count(model.non_trainable_weights) == 3_776
    assert model.output_shape == (None, 160, 160, 2)


def test_batch_norm_keeps_the_share_that_momentum_says() -> None:
    spec = make_spec("unet_xception", momentum=0.3)
    model = make_network(spec, 0.0, 3)
    norms = layers_of(model, layers.BatchNormalization)
    assert {norm.momentum for norm in norms} == {0.3}
    photos = first_view(random_maps(spec, 4))
    entry = keras.Model(model.inputs, layers_of(model, layers.Conv2D)[0].output)
    seen = np.asarray(entry(photos))
    model(photos, training=True)
    np.testing.assert_allclose(norms[0].moving_mean, 0.7 * seen.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(norms[0].moving_variance, 0.3 + 0.7 * seen.var(axis=(0, 1, 2)), rtol=1e-2)


def flexunet_size(filters: list[int], kernels: list[int], num_classes: int) -> int:
    """Weights and biases of two convolutions a level, down and up, and of what lies between."""
    size, given = 0, 3
    for width, kernel in zip(filters, kernels, strict=True):
        size += kernel**2 * (given * width + width * width) + 2 * width
        given = width
    for width, kernel in zip(filters[-2::-1], kernels[-2::-1], strict=True):
        size += 4 * given * width + width  # the transposed 2 × 2 convolution
        size += kernel**2 * (2 * width * width + width * width) + 2 * width
        given = width
    return size + (num_classes + 1) * (filters[0] + 1)


def test_size_of_the_flexunet_published_for_car_damages() -> None:
    """By the formula that the other tests compare small ones with: it would take 507 MB."""
    assert flexunet_size([16 * 2**level for level in range(8)], [11, 9, 7, 5, 3, 3, 3, 3], 8) == 126_809_337


@pytest.mark.parametrize("normalization", [False, True])
def test_flexunet_has_the_published_layers(normalization: bool) -> None:
    options = {"base_filters": 2, "base_kernels": [9, 9], "num_layers": 6, "dilation": [3, 3], "dropout_rate": 0.05}
    spec = make_spec("flexunet", size=64, **options, normalization=normalization)
    model = make_network(spec, 0.0, 0)
    filters, kernels, dilations = [2, 4, 8, 16, 32, 64], [9, 7, 5, 3, 3, 3], [3, 2, 1, 1, 1, 1]
    up = [*range(6), *reversed(range(5))]
    convolutions = layers_of(model, layers.Conv2D)
    assert [layer.kernel_size[0] for layer in convolutions] == [kernels[i] for i in up for _ in "ab"] + [1]
    assert [layer.dilation_rate[0] for layer in convolutions] == [dilations[i] for i in up for _ in "ab"] + [1]
    assert [layer.filters for layer in convolutions] == [filters[i] for i in up for _ in "ab"] + [3]
    dropped = [layer.rate for layer in layers_of(model, layers.Dropout)]
    np.testing.assert_allclose(dropped, [0.05, 0.1, 0.15, 0.2, 0.25, 0.2, 0.15, 0.1, 0.05])
    expected = flexunet_size(filters, kernels, num_classes=2)
    if normalization:
        expected += 4 * 2 * sum(filters[i] for i in up)
    assert model.count_params() == expected


def test_flexunet_is_wired_as_published() -> None:
    options = {"base_filters": 3, "base_kernels": [5, 5], "num_layers": 3, "dilation": [1, 1], "normalization": False}
    spec = make_spec("flexunet", size=16, **options, activation="mish")
    model = shaken(make_network(spec, 0.0, 3))
    photo = tf.constant(np.random.default_rng(0).random((2, 16, 16, 3)), tf.float32)
    convolutions = iter(layers_of(model, layers.Conv2D))
    doublings = iter(layers_of(model, layers.Conv2DTranspose))

    def convolve(x: Any) -> Any:
        layer = next(convolutions)
        return tf.nn.conv2d(x, layer.kernel.value, 1, "SAME") + layer.bias.value

    def pair(x: Any) -> Any:
        for _ in range(2):
            said = convolve(x)
            x = said * tf.tanh(tf.math.softplus(said))
        return x

    def double(x: Any) -> Any:
        layer = next(doublings)
        shape = (2, 2 * x.shape[1], 2 * x.shape[2], layer.filters)
        return tf.nn.conv2d_transpose(x, layer.kernel.value, shape, 2) + layer.bias.value

    top = pair(photo)
    middle = pair(tf.nn.max_pool2d(top, 2, 2, "SAME"))
    x = pair(tf.nn.max_pool2d(middle, 2, 2, "SAME"))
    x = pair(tf.concat([double(x), middle], axis=-1))
    x = pair(tf.concat([double(x), top], axis=-1))
    published = tf.nn.softmax(convolve(x))  # background first
    np.testing.assert_allclose(probabilities(model({"P0": photo})), published, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "elu", "selu", "gelu", "swish", "mish", "leaky_relu"])
def test_flexunet_takes_every_activation_that_a_config_may_name(activation: str) -> None:
    spec = make_spec("flexunet", size=8, num_layers=2, activation=activation)
    named = {keras.activations.serialize(layer.activation) for layer in conv_layers(make_network(spec, 0.0, 0))}
    assert named == {"silu" if activation == "swish" else activation}


def conv_layers(model: Any) -> Iterator[Any]:
    yield from layers_of(model, layers.Conv2D)[:-1]  # the last one is the answer


def test_softmax_is_that_of_the_published_networks() -> None:
    spec = make_spec("unet_xception")
    model = shaken(make_network(spec, 0.0, 3))
    photos = first_view(random_maps(spec, 2))
    classes = keras.Model(model.inputs, layers_of(model, layers.Conv2D)[-1].output)(photos)
    assert classes.shape[-1] == 3
    np.testing.assert_allclose(probabilities(model(photos)), tf.nn.softmax(classes), atol=1e-6)


def test_photos_of_many_pixels_are_looked_at_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec("unet_xception")
    decoder = MaskDecoder(spec, make_network(spec, 0.0, 3))
    assert decoder.photos_together == 32
    photos = random_maps(spec, 5, views=2)["P0"].astype(np.float16)
    reader = MapReader({"P0": photos.reshape(10, 32, 32, 3)}, {"P0": np.arange(10).reshape(2, 5)})
    order = np.array([3, 0, 1, 4, 2])
    together = decoder.predict_photos(reader, order)
    monkeypatch.setattr(decoder_module, "_MOST_CELLS", 2 * 32 * 32)
    assert decoder.photos_together == 2
    np.testing.assert_allclose(decoder.predict_photos(reader, order), together, atol=1e-5)
    np.testing.assert_allclose(together, decoder.predict_logits({"P0": photos[:, order]}), atol=1e-5)
    monkeypatch.setattr(decoder_module, "_MOST_CELLS", 1)
    assert decoder.photos_together == 1


@pytest.mark.parametrize(
    ("architecture", "options", "multiple"),
    [
        ("flexunet", {"num_layers": 8}, 128),
        ("flexunet", {"num_layers": 2}, 2),
        ("unet_xception", {}, 16),
        ("unet_xception", {"filters": [4, 8]}, 4),
        ("fpn", {"channels": 8}, 1),
    ],
)
def test_sizes_are_multiples(architecture: str, options: dict[str, Any], multiple: int) -> None:
    assert size_multiple(architecture, options) == multiple
    assert size_problem(architecture, options, 3 * multiple) == ""
    assert bool(size_problem(architecture, options, 0))


def test_errors_say_what_came_and_what_would_do() -> None:
    with pytest.raises(TrainingError, match=r"flexunet needs a multiple of 8 pixels, not 36. Set 32 or a smaller num"):
        make_network(make_spec("flexunet", size=36), 0.0, 0)
    with pytest.raises(TrainingError, match=r"unet_xception needs a multiple of 8 pixels, not 3. Set 8\.$"):
        make_network(make_spec("unet_xception", size=3), 0.0, 0)
    unknown = NetworkSpec("unet_exception", {"P0": (32, 32, 3)}, 1, (0,), {})
    with pytest.raises(TrainingError, match=r'"unet_exception" is no .*mean "unet_xception"\? Known: fpn, unet, deepl'):
        make_network(unknown, 0.0, 0)


def test_arrays_of_no_network_are_refused() -> None:
    spec = make_spec("fpn")
    arrays = MaskDecoder(spec, make_network(spec, 0.0, 0)).to_arrays()
    with pytest.raises(TrainingError, match="do not fit its own description: fit it again"):
        MaskDecoder.from_arrays({key: array for key, array in arrays.items() if key != "000"})
    older = '{"map_shapes": {"P3": [4, 4, 3]}, "num_classes": 1, "channels": 8, "mirror": [0]}'
    for text in (older, "[]", "none"):
        with pytest.raises(TrainingError, match="of another version: fit it again"):
            MaskDecoder.from_arrays({**arrays, "spec": np.array(text)})


def test_an_entry_says_how_it_was_made() -> None:
    given = Entry(4, 0.25, 7, name="P3_entry").get_config()
    assert Entry.from_config(given).get_config() == given
