"""Sampling and augmentation of training batches, on the device of the training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cacl.hpa.pixel_labels import PseudoLabel
from cacl.image.pixel_flags import candidate_mask, edge_mask
from cacl.model.config import AugmentConfig, Preset
from cacl.model.data.dataset import FLAGS, PSEUDO_LABELS, TileDataset
from cacl.model.networks.autoencoder import DOWNSCALE
from cacl.model.networks.preprocess import jitter_stain, random_blur, random_dihedral
from cacl.stain.vectors import REFERENCE, StainVectors

CUTMIX_PX = 32


@dataclass(eq=False)
class InstanceLabels:
    """Which tiles (the instances) count as positive in each class during the training.

    Parameters
    ----------
    positive
        (n, k) bool.
    positive_fraction
        (n, k) fraction of each tile that must show each class; see `losses.topk_positive`.
    relabelled
        (k,) bool: classes whose tiles the model has relabelled.
    """

    positive: Tensor
    positive_fraction: Tensor
    relabelled: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Augmented tiles.

    Parameters
    ----------
    rgb
        (b, 3, y, x) float levels from 0 to 255.
    candidate
        (b, k, y, x) bool: pixels that may show each of k classes; see `candidate_mask`.
    edge
        (b, y, x) bool: pixels at the edge of a core, whose stain says nothing of the label.
    cutmix
        (b, y, x) bool: pixels of positive tiles that were replaced by those of negative tiles.
    positive, negative
        (b, k) bool: labels of the tiles' images; both False without a label.
    instance_positive
        (b, k) bool: tiles that count as positive; see `InstanceLabels`.
    cutmix_negative
        (b, k) bool: negative labels of the pixels of `cutmix`.
    positive_fraction
        (b, k) fraction of each tile that must show each class; see `InstanceLabels`.
    pseudo_label
        (b, k, y, x) uint8 of `PseudoLabel`; (b, 0, y, x) without pseudo-labels.
    drawn
        (b, y, x) uint8 of `PseudoLabel` that a person drew for the first class; None without any.
    stain_vectors
        Stain vectors of the tiles.
    """

    rgb: Tensor
    candidate: Tensor
    edge: Tensor
    cutmix: Tensor
    positive: Tensor
    negative: Tensor
    instance_positive: Tensor
    cutmix_negative: Tensor
    positive_fraction: Tensor
    pseudo_label: Tensor
    drawn: Tensor | None = None
    stain_vectors: StainVectors = REFERENCE

    @property
    def candidate_positions(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: positions of embeddings with a candidate pixel."""
        return F.max_pool2d(self.candidate.float(), DOWNSCALE) > 0

    @property
    def class_positions(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: interior positions that may show each class.

        Positions whose candidate pixels a person drew negative cannot show the first class.
        """
        labelled = self.instance_positive[:, :, None, None] & ~self._cutmix_positions
        interior = self.candidate & ~self.edge[:, None]
        if self.drawn is not None:
            interior[:, 0] &= self.drawn != int(PseudoLabel.NEGATIVE)
        return (F.max_pool2d(interior.float(), DOWNSCALE) > 0) & labelled

    @property
    def negative_positions(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: candidate positions with a negative label in each class."""
        own, cutmix = (label[:, :, None, None] for label in (self.negative, self.cutmix_negative))
        return self.candidate_positions & torch.where(self._cutmix_positions, cutmix, own)

    @property
    def other_class_positions(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: positions of tiles with another class and not this one."""
        tiles = self.negative & self.positive.any(1, keepdim=True)
        return tiles[:, :, None, None] & ~self._cutmix_positions

    @property
    def _cutmix_positions(self) -> Tensor:
        return self.cutmix[:, None, ::DOWNSCALE, ::DOWNSCALE]


def sample_batch(
    tiles: TileDataset,
    labels: InstanceLabels,
    preset: Preset,
    step: int,
    rng: torch.Generator,
    device: torch.device,
) -> Batch:
    """Return a random batch, half of it positive; an odd tile is of a random label.

    The positive and the negative tiles are divided evenly among the classes.

    With CutMix (Yun et al. 2019), squares of positive tiles are replaced by squares of negative
    tiles. Their label is known, so the network does not learn that stain beside a class belongs to
    it.

    Parameters
    ----------
    tiles
        The training set; fastest with its pixels on `device`.
    labels
        Tiles that count as positive.
    preset
        Batch size and augmentation.
    step
        The training step; the classes that get one tile more take turns.
    rng
        On the CPU.
    device
        Device of the batch.
    """
    size, augment = preset.optim.batch_size, preset.augment or AugmentConfig()
    extra = int(torch.randint(2, (1,), generator=rng)) if size % 2 else 0
    n_positive = size // 2 + extra
    indices = torch.cat(
        [
            *_per_class(labels.positive, n_positive, step, rng),
            *_per_class(tiles.negative, size - n_positive, step, rng),
        ]
    )
    pixels = random_dihedral(_pixels(tiles, indices, device), rng)
    positive, negative = (label[indices].to(device) for label in (tiles.positive, tiles.negative))
    cutmix_negative = negative
    cutmix = torch.zeros_like(pixels[:, 0], dtype=torch.bool)
    if augment.cutmix is not None:
        others = _choose(torch.nonzero(tiles.negative.any(1)).flatten(), len(indices), rng)
        other_pixels = random_dihedral(_pixels(tiles, others, device), rng)
        cutmix_negative = tiles.negative[others].to(device)
        cutmix = cutmix_mask(pixels, augment.cutmix, rng) & positive.any(1)[:, None, None]
        pixels = torch.where(cutmix[:, None], other_pixels, pixels)
    drawn = None
    if tiles.drawn is not None:
        pixels, drawn = pixels[:, :-1], pixels[:, -1]
    rgb, flags = pixels[:, :FLAGS].float(), pixels[:, FLAGS]
    if augment.stain_jitter is not None:
        rgb = jitter_stain(rgb, augment.stain_jitter, rng, tiles.stain_vectors)
    if augment.blur is not None:
        rgb = random_blur(rgb, augment.blur, rng)
    candidate = [candidate_mask(flags, target_class.shape) for target_class in tiles.classes]
    return Batch(
        rgb=rgb,
        candidate=torch.stack(candidate, dim=1),
        edge=edge_mask(flags),
        cutmix=cutmix,
        positive=positive,
        negative=negative,
        instance_positive=labels.positive[indices].to(device),
        cutmix_negative=cutmix_negative,
        positive_fraction=labels.positive_fraction[indices].to(device),
        pseudo_label=pixels[:, PSEUDO_LABELS:],
        drawn=drawn,
        stain_vectors=tiles.stain_vectors,
    )


def _pixels(tiles: TileDataset, indices: Tensor, device: torch.device) -> Tensor:
    """Return the pixels of some tiles, with the drawn labels, if there are any, as last channel."""
    pixels = tiles.pixels[indices].to(device)
    if tiles.drawn is None:
        return pixels
    return torch.cat([pixels, tiles.drawn[indices, None].to(device)], dim=1)


def cutmix_mask(pixels: Tensor, fraction: float, rng: torch.Generator) -> Tensor:
    """Return random squares of 32 px of tiles (b, c, y, x), each with probability `fraction`.

    The mask is (b, y, x) bool.
    """
    _, _, height, width = pixels.shape
    grid = (len(pixels), -(-height // CUTMIX_PX), -(-width // CUTMIX_PX))
    squares = (torch.rand(grid, generator=rng) < fraction).to(pixels.device)
    mask = squares.repeat_interleave(CUTMIX_PX, 1).repeat_interleave(CUTMIX_PX, 2)
    return mask[:, :height, :width]


def _per_class(labelled: Tensor, number: int, step: int, rng: torch.Generator) -> list[Tensor]:
    """Return indices of `number` tiles, divided evenly among the classes of `labelled` (n, k)."""
    n_classes = labelled.shape[1]
    each, more = divmod(number, n_classes)
    return [
        _choose(
            torch.nonzero(labelled[:, class_index]).flatten(),
            each + ((class_index - step) % n_classes < more),
            rng,
        )
        for class_index in range(n_classes)
    ]


def _choose(indices: Tensor, number: int, rng: torch.Generator) -> Tensor:
    return indices[torch.randint(len(indices), (number,), generator=rng)]
