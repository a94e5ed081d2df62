"""Scoring takes shorter ways than training; they come to the same."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from torch import nn

from cacl.model.config import PAPER, PRESETS, TEACHER, with_classes
from cacl.model.inference import predict
from cacl.model.inference.masks import Thresholds, stain_mask
from cacl.model.networks import preprocess
from cacl.model.networks.autoencoder import (
    N_STRIPS,
    AutoEncoder,
    PointwiseConv2d,
    class_logits,
    fuse_batchnorm,
)


def network(name: str = "robust", classes: int = 1) -> AutoEncoder:
    """Return a network whose norms have seen something."""
    torch.manual_seed(0)
    made = AutoEncoder(with_classes(PRESETS[name], classes).network)
    for norm in (part for part in made.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.running_mean.normal_(0.0, 0.3)
        norm.running_var.uniform_(0.5, 2.0)
    made.codebook.set_codes(torch.randn_like(made.codebook.codes), made.codebook.codebook_id >= 0)
    return made.eval()


def pixels(height: int = 64, width: int = 80) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, height, width), generator=drawn, dtype=torch.uint8)


@torch.no_grad()
def test_merged_norms_are_the_same_function() -> None:
    plain = network()
    merged = copy.deepcopy(plain)
    fuse_batchnorm(merged)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in merged.modules())
    features, distances = plain(pixels())
    assert (merged(pixels())[0] - features).abs().max() < 1e-5
    assert (merged(pixels())[1] - distances).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "mode"), [("robust", "bilinear"), ("paper", "nearest")])
@torch.no_grad()
def test_views_are_those_of_the_whole_network_on_turned_images(name: str, mode: str) -> None:
    model = network(name, classes=2)
    rgb = pixels()
    seen = list(predict.views([model], rgb, 8))
    for number, found in zip(predict.SYMMETRIES, seen, strict=True):
        coarse = class_logits(model, *model(preprocess.dihedral(rgb, number)))
        fine = nn.functional.interpolate(coarse, scale_factor=2.0, mode=mode)
        assert torch.allclose(preprocess.inverse_dihedral(fine, number), found, atol=1e-4)
    assert (seen[0] - seen[1]).abs().max() > 1e-2


@torch.no_grad()
def test_a_single_image_is_convolved_like_several() -> None:
    layer = PointwiseConv2d(5, 7, 1)
    images = torch.randn(2, 5, 2 * N_STRIPS, 6).contiguous(memory_format=torch.channels_last)
    both = layer(images)
    assert torch.allclose(layer(images[:1]), both[:1], atol=1e-6)
    assert torch.allclose(layer(images[:1, :, :-1]), both[:1, :, :-1], atol=1e-6)


@pytest.mark.parametrize("window", [9, 31])
def test_windows_end_at_the_border(window: int) -> None:
    image = torch.rand(2, 1, 20, 37)
    around = (window // 2, window // 2)
    mean = nn.functional.avg_pool2d(image, window, 1, around, count_include_pad=False)
    assert torch.allclose(preprocess._minus_local_mean(image, window), image - mean, atol=1e-6)
    most = nn.functional.max_pool2d(image, window, 1, around)
    least = -nn.functional.max_pool2d(-image, window, 1, around)
    assert torch.equal(preprocess._local_extremum(image, window), most)
    assert torch.equal(preprocess._local_extremum(image, window, maximum=False), least)


def test_a_mask_grows_from_sure_pixels_as_in_scikit_image() -> None:
    rng = np.random.default_rng(0)
    scores = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 1.5).astype(np.float32)
    limits = Thresholds(likely=0.1, sure=0.4, rim=0.4, least=0.0)
    wanted = apply_hysteresis_threshold(scores, 0.1, 0.4)
    assert 0 < wanted.sum() < (scores > 0.1).sum()
    np.testing.assert_array_equal(stain_mask(scores, limits, PAPER), wanted)
    assert stain_mask(scores, limits, TEACHER).sum() < wanted.sum()
    assert not stain_mask(scores - 1.0, limits, PAPER).any()


@pytest.mark.parametrize(("sure", "counts"), [(24, False), (25, True)])
def test_a_part_counts_if_enough_of_it_is_sure(sure: int, counts: bool) -> None:
    scores = np.full((40, 40), -9.0, np.float32)
    scores[4:14, 4:14] = 0.0
    scores[4:14, 4:14].flat[:sure] = 3.0
    limits = Thresholds(likely=-1.0, sure=2.0, rim=2.0, least=0.0)
    for part, always in ((0.25, 10**6), (1.0, 25)):
        post = replace(TEACHER.post, min_core_fraction=part, min_core_px=always)
        preset = replace(TEACHER, post=post)
        assert stain_mask(scores, limits, preset).sum() == (100 if counts else 0)
