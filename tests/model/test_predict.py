"""Prediction: its shortcuts give the same results as the network in training."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cacl.model.inference import blocks, predict
from cacl.model.networks import preprocess
from cacl.model.networks.autoencoder import (
    N_STRIPS,
    AutoEncoder,
    PointwiseConv2d,
    class_logits,
    fuse_batchnorm,
)
from cacl.model.presets import get_preset, with_classes


def make_network(name: str = "robust", n_classes: int = 1) -> AutoEncoder:
    """Return a network with random codes and batch statistics."""
    torch.manual_seed(0)
    network = AutoEncoder(with_classes(get_preset(name), n_classes).network)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(0.0, 0.3)
        norm.running_var.uniform_(0.5, 2.0)
    codebook = network.codebook
    codebook.set_codes(torch.randn_like(codebook.codes), codebook.codebook_id >= 0)
    return network.eval()


def make_rgb(height: int = 64, width: int = 80) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, height, width), generator=rng, dtype=torch.uint8)


@torch.no_grad()
def test_fused_batch_normalisation_is_the_same_function() -> None:
    network = make_network()
    fused = copy.deepcopy(network)
    fuse_batchnorm(fused)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    features, distances = network(make_rgb())
    assert (fused(make_rgb())[0] - features).abs().max() < 1e-5
    assert (fused(make_rgb())[1] - distances).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "mode"), [("robust", "bilinear"), ("paper", "nearest")])
@torch.no_grad()
def test_views_equal_the_network_on_transformed_images(name: str, mode: str) -> None:
    network = make_network(name, n_classes=2)
    rgb = make_rgb()
    views = list(predict.view_logits([network], rgb, 8))
    for element, view in zip(predict.TTA_ORDER, views, strict=True):
        logits = class_logits(network, *network(preprocess.dihedral(rgb, element)))
        upsampled = nn.functional.interpolate(logits, scale_factor=2.0, mode=mode)
        expected = preprocess.inverse_dihedral(upsampled, element)
        assert torch.allclose(expected, view, atol=1e-4)
    assert (views[0] - views[1]).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["robust", "paper"])
@torch.no_grad()
def test_scores_of_used_pixels_equal_those_of_all_pixels(name: str) -> None:
    network, rgb = make_network(name, n_classes=2), make_rgb()[:1]
    used = torch.zeros(rgb.shape[-2:], dtype=torch.bool)
    used[0, 0] = used[31, 40] = used[-1, 17] = True
    used[10:25, 50:] = True
    everything = list(predict.view_logits([network], rgb, 8))
    views = list(predict.view_logits([network], rgb, 8, used))
    for view, expected in zip(views, everything, strict=True):
        assert torch.equal(view[..., used], expected[..., used])
        assert not torch.equal(view, expected)
    nothing = torch.zeros_like(used)
    assert not any(view.any() for view in predict.view_logits([network], rgb, 2, nothing))


@torch.no_grad()
def test_pointwise_convolution_of_a_single_image_equals_that_of_a_batch() -> None:
    layer = PointwiseConv2d(5, 7, 1)
    images = torch.randn(2, 5, 2 * N_STRIPS, 6).contiguous(memory_format=torch.channels_last)
    batch = layer(images)
    assert torch.allclose(layer(images[:1]), batch[:1], atol=1e-6)
    assert torch.allclose(layer(images[:1, :, :-1]), batch[:1, :, :-1], atol=1e-6)


@pytest.mark.parametrize("window", [9, 31])
def test_local_filters_ignore_pixels_outside_the_image(window: int) -> None:
    image = torch.rand(2, 1, 20, 37)
    padding = (window // 2, window // 2)
    mean = nn.functional.avg_pool2d(image, window, 1, padding, count_include_pad=False)
    assert torch.allclose(preprocess._minus_local_mean(image, window), image - mean, atol=1e-6)
    maximum = nn.functional.max_pool2d(image, window, 1, padding)
    minimum = -nn.functional.max_pool2d(-image, window, 1, padding)
    assert torch.equal(preprocess._local_extremum(image, window), maximum)
    assert torch.equal(preprocess._local_extremum(image, window, maximum=False), minimum)


@pytest.mark.parametrize(
    ("tiles", "sides"),
    [(8, [8]), (3, [3]), (10, [5, 5]), (16, [8, 8]), (17, [8, 5, 4]), (31, [8, 8, 8, 7])],
)
def test_blocks_have_about_the_size_of_a_core(tiles: int, sides: list[int]) -> None:
    assert blocks.block_sides(tiles * 128, 128) == tuple(128 * side for side in sides)
