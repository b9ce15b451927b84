"""Frozen features of whole data sets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from mm3dpretrain.datasets.samplers import SeededIndex, mix_seed, seed_everything
from mm3dpretrain.registry import DATASETS


@contextmanager
def isolated_rng(seed: int | None = None) -> Iterator[None]:
    """Leave the random generators of Python, NumPy and torch as they were found.

    What a probe draws in the middle of a training therefore changes nothing in that training.

    Args:
        seed: seeds all of them inside the block; None goes on from the current states.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # the list, because without one torch warns on machines with several devices
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if seed is not None:
            seed_everything(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside the block; every module's own mode is restored after it."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            # the attribute, not train(): that would also change all children
            module.training = mode


def build_dataset(dataset: Dataset | Mapping) -> Dataset:
    """A data set from its config; one that is already built is returned as it is.

    Raises:
        ValueError: if it is empty.
    """
    if isinstance(dataset, Mapping):
        dataset = DATASETS.build(dict(dataset))
    if len(dataset) == 0:
        raise ValueError(f'{type(dataset).__name__} holds no samples')
    return dataset


def iterate_batches(
    dataset: Dataset, batch_size: int = 32, seed: int = 0, num_workers: int = 0
) -> Iterator[dict]:
    """Batches of all samples in order; the draw of sample i depends on ``seed`` and i only.

    Args:
        dataset: that gives ``dict(inputs=..., data_samples=...)``.
        batch_size: samples in a batch; it does not change any draw.
        seed: of the random transforms (which points are taken, how the cloud is turned).
        num_workers: loader processes.

    Yields:
        ``dict(inputs=dict of lists, data_samples=list)`` as for a data preprocessor.
    """
    indices = [SeededIndex(i, mix_seed(seed, i)) for i in range(len(dataset))]
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=indices,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
    )
    yield from loader


def global_features(model: nn.Module, batch: dict) -> Tensor:
    """The ``global`` features (B, C) of one batch, from a pretrainer or from a bare encoder.

    Args:
        model: with ``data_preprocessor`` and ``extract_feat`` (any
            :class:`~mm3dpretrain.models.pretrainers.base.BasePretrainer`), or an encoder whose
            ``forward(points)`` returns a dict with ``global``.
        batch: see :func:`iterate_batches`.

    Raises:
        ValueError: if the model gives no ``global`` features, or clouds differ in size.
    """
    if hasattr(model, 'extract_feat') and hasattr(model, 'data_preprocessor'):
        data = model.data_preprocessor(batch, False)
        outputs = model.extract_feat(data['inputs'], data['data_samples'])
    else:
        points = batch['inputs']['points']
        sizes = {tuple(p.shape) for p in points}
        if len(sizes) > 1:
            raise ValueError(
                f'the clouds of a batch must have one size, got {sorted(sizes)}: add '
                "dict(type='SamplePoints', num_points=...) to the pipeline"
            )
        device = next((p.device for p in model.parameters()), torch.device('cpu'))
        outputs = model(torch.stack(list(points)).to(device))
    if not isinstance(outputs, Mapping) or outputs.get('global') is None:
        raise ValueError(f"{type(model).__name__} gives no 'global' features of shape (B, C)")
    return outputs['global']


def extract_features(
    model: nn.Module | Mapping[str, nn.Module],
    dataset: Dataset | Mapping,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    seed: int = 0,
    num_workers: int = 0,
) -> tuple[np.ndarray | dict[str, np.ndarray], np.ndarray]:
    """Features of all samples of a data set, with the encoder frozen and in eval mode.

    Neither the mode of the model nor the global random generators are changed.

    Args:
        model: a pretrainer or an encoder (see :func:`global_features`), or several by name, which
            then see the same clouds while the data are read once.
        dataset: a data set or its config.
        batch_size: samples at a time; has no influence on the result.
        device: where to compute; default where the model is.
        seed: of the random transforms of the pipeline.
        num_workers: loader processes.

    Returns:
        Features (N, C) float32 (or a dict of them), and labels (N,) int64, -1 where unknown.

    Raises:
        ValueError: for an empty data set, or a model without global features.
    """
    models = dict(model) if isinstance(model, Mapping) else {'': model}
    for each in models.values():
        if device is not None:
            each.to(device)
    dataset = build_dataset(dataset)
    features: dict[str, list[np.ndarray]] = {name: [] for name in models}
    labels: list[int] = []
    with isolated_rng(seed), evaluating(*models.values()):
        for batch in iterate_batches(dataset, batch_size, seed, num_workers):
            for name, each in models.items():
                features[name].append(global_features(each, batch).float().cpu().numpy())
            labels += [label_of(sample) for sample in batch['data_samples']]
    stacked = {name: np.concatenate(parts) for name, parts in features.items()}
    result = stacked if isinstance(model, Mapping) else stacked['']
    return result, np.asarray(labels, np.int64)


def label_of(sample) -> int:
    """Class of a data sample, -1 where it has none."""
    label = sample.get('gt_label') if sample is not None else None
    return -1 if label is None else int(label)


def calibrate_batch_norm(
    model: nn.Module,
    dataset: Dataset | Mapping,
    max_samples: int = 512,
    batch_size: int = 32,
    seed: int = 0,
    parts: Sequence[nn.Module] | None = None,
) -> nn.Module:
    """Replace all running statistics of batch norms by those of real samples. No labels are used.

    An encoder that was never trained has the statistics (0, 1) of its construction, so that its
    batch norms do nothing in eval mode. Beside an encoder whose statistics were fitted to data it
    would look worse than random weights are.

    Args:
        model: see :func:`global_features`; its statistics are changed in place.
        dataset: unlabelled samples.
        max_samples: how many to use, evenly spread over the data set.
        batch_size: of the passes.
        seed: of the random transforms.
        parts: sub-modules whose statistics are replaced; default the whole model.

    Returns:
        The model.
    """
    norms = [
        module
        for part in ([model] if parts is None else parts)
        for module in part.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return model
    dataset = build_dataset(dataset)
    chosen = np.linspace(0, len(dataset) - 1, min(max_samples, len(dataset))).astype(int)
    momenta = [norm.momentum for norm in norms]
    with isolated_rng(seed), evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.training = True
        for start in range(0, len(chosen), batch_size):
            part = chosen[start : start + batch_size]
            if start and len(part) < 2:
                break
            batch = pseudo_collate([dataset[SeededIndex(i, mix_seed(seed, i))] for i in part])
            global_features(model, batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return model
