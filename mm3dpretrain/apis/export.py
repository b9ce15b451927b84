"""Take the encoder out of a pre-training checkpoint and prove that it arrives elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.registry import MODELS
from mm3dpretrain.utils import load_plugins, prepare_runtime

from .checkpoint import (
    LoadReport,
    config_of,
    load_weights,
    read_checkpoint,
    strip_prefix,
    without_checkpoints,
)
from .features import isolated_rng

SCOPES = ('encoder', 'encoder_decoder')


@dataclass
class ExportResult:
    """What :func:`export_backbone` did.

    Attributes:
        out: the file written.
        module: name of the modality, such as 'point'.
        attribute: name of the sub-module in the pretrainer.
        target: class that the weights were loaded into.
        report: how the keys fit the target.
        features_equal: whether both encoders give bit-equal features for a fixed input (an adapter
            with ``pretraining_features``: these); None if another network
            has weights of its own, so that they cannot be equal.
        notes: what else the reader should know, a sentence each.
    """

    out: str
    module: str
    attribute: str
    target: str
    report: LoadReport
    features_equal: bool | None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        equal = {True: 'bit-equal', False: 'DIFFERENT', None: 'not comparable (missing keys)'}
        lines = [
            f'{self.attribute} -> {self.target}: {self.report}',
            *self.notes,
            f'features of a fixed input: {equal[self.features_equal]}',
            f'written: {self.out}',
        ]
        return '\n'.join(lines)

    def to_dict(self) -> dict:
        """Counts and names for a JSON file."""
        report = self.report
        return dict(
            out=self.out,
            module=self.module,
            target=self.target,
            matched=len(report.matched),
            missing=report.missing,
            unexpected=report.unexpected,
            mismatched=sorted(report.mismatched),
            features_equal=self.features_equal,
            notes=self.notes,
        )


def export_backbone(
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    module: str | None = None,
    config: str | os.PathLike | Config | None = None,
    target: str | os.PathLike | Config | None = None,
    target_module: str = 'backbone',
    scope: str = 'encoder_decoder',
) -> ExportResult:
    """Write a bare encoder with its meta, load it into a target and compare features.

    The file appears only if all went well. Its keys have no prefix, so any network takes it with
    ``init_cfg=dict(type='Pretrained', checkpoint=OUT)``. An encoder that consists of several parts
    of a detector (``LidarBEVEncoder``) is written under the names that these parts have in the
    target (``neck.`` or ``pts_neck.``): there the ``init_cfg`` belongs to the whole detector.

    Args:
        checkpoint: of a pre-training (or of a ``PointClassifier``).
        out: file to write: ``dict(state_dict=..., meta=...)``.
        module: which entry of the model's ``transfer_modules``; default 'point', or the only one.
        config: config of the training; default the one stored in the checkpoint.
        target: config of the network that shall get the weights, of any OpenMMLab package;
            default the encoder of the checkpoint's own config.
        target_module: part of ``target.model`` that is the encoder; without such a part the whole
            ``model`` is. Not used for an encoder of several parts, whose names are known.
        scope: 'encoder_decoder' writes all of it, 'encoder' leaves the ``decoder_parts`` of a U-Net
            or PointNet++ out: the target keeps its own. Compared are then the outcomes of every
            layer of the encoder.

    Returns:
        What was matched, and whether the features are bit-equal.

    Raises:
        FileNotFoundError: for a missing checkpoint or config.
        ValueError: for an unknown module or scope.
        RuntimeError: if nothing matches, a shape differs, or the features differ.
    """
    if scope not in SCOPES:
        raise ValueError(f'scope must be one of {", ".join(SCOPES)}, got {scope!r}')
    content = read_checkpoint(checkpoint)
    cfg = prepare_runtime(config_of(content['meta'], str(checkpoint)) if config is None else config)
    name, attribute = _choose_module(content['meta'], cfg, module)
    weights = strip_prefix(content['state_dict'], attribute)
    if not weights:
        raise RuntimeError(f'{checkpoint} holds no weights below {attribute + "."!r}')
    encoder_cfg = cfg.model[attribute]
    encoder = build_encoder(encoder_cfg)
    load_weights(encoder, weights, str(checkpoint))
    source, part = encoder, getattr(encoder, 'transfer_part', None)
    if part:  # the encoder only holds what other networks take, see ``PointNet2Encoder``
        attribute, encoder_cfg = f'{attribute}.{part}', encoder_cfg[part]
        weights, source = strip_prefix(weights, part), getattr(encoder, part)
    parts, notes = getattr(encoder, 'transfer_parts', ()), []
    if scope == 'encoder':
        weights, left_out = without_decoder(weights, getattr(encoder, 'decoder_parts', ()))
        notes.append(f'scope encoder: {left_out} weights of the decoder were left out')
    if parts and target:
        target = read_target(target)
        names = detector_names(target.model, parts)
        weights = {_renamed(key, names): value for key, value in weights.items()}

    with atomic_path(out) as temporary:
        record = dict(content['meta'].get('mm3dpretrain', {}))
        record.update(
            module=name, scope=scope, encoder=_plain(encoder_cfg), source=Path(checkpoint).name
        )
        torch.save(dict(state_dict=weights, meta=dict(mm3dpretrain=record)), temporary)
        # what counts is the file: read it back
        written = read_checkpoint(temporary)['state_dict']
        if parts and target:
            taker, more = build_detector_parts(target, encoder_cfg, names)
            back = {name: part for part, name in names.items()}
            written = {_renamed(key, back): value for key, value in written.items()}
            notes += [f'{part} -> {name}' for part, name in names.items()] + more
        else:
            taker = build_target(target, target_module) if target else build_encoder(encoder_cfg)
        report = load_weights(taker, written, str(checkpoint), allow_missing=not parts)
        inputs = fixed_inputs(name, encoder)
        if scope == 'encoder':
            equal = _same_layers(source, taker, inputs, report)
        else:
            equal = _same_features(source, taker, inputs, report)
        if equal is False:
            raise RuntimeError(
                f'{type(taker).__name__} took all weights and still gives other features than '
                f'{type(source).__name__}: their settings differ (compare both configs); {report}'
            )
    kind = target.model.type if parts and target else type(taker).__name__
    return ExportResult(str(out), name, attribute, kind, report, equal, notes)


def without_decoder(
    weights: Mapping[str, Tensor], decoder_parts: Sequence[str]
) -> tuple[dict[str, Tensor], int]:
    """Weights that do not lie below one of ``decoder_parts``, and how many do."""
    below = tuple(f'{part}.' for part in decoder_parts)
    kept = {key: value for key, value in weights.items() if not key.startswith(below)}
    return kept, len(weights) - len(kept)


def _choose_module(meta: Mapping, cfg: Config, module: str | None) -> tuple[str, str]:
    """Name and attribute of the sub-module to export."""
    modules = meta.get('mm3dpretrain', {}).get('transfer_modules')
    if modules is None:
        modules = getattr(MODELS.get(cfg.model.type), 'transfer_modules', {})
    if not modules:
        raise ValueError(f'{cfg.model.type} names no module worth moving (transfer_modules)')
    if module is None:
        module = 'point' if 'point' in modules else next(iter(modules))
    if module not in modules:
        raise ValueError(f'no module {module!r} in {cfg.model.type}: it has {sorted(modules)}')
    return module, modules[module]


def build_encoder(cfg: Mapping) -> nn.Module:
    """An encoder from its config, without reading any checkpoint, in eval mode."""
    with isolated_rng(0):
        encoder = MODELS.build(_plain(without_checkpoints(cfg)))
        encoder.eval()  # which returns nothing, in mmdet's ResNet
        return encoder


def read_target(config: str | os.PathLike | Config) -> Config:
    """The config of another network, its plug-ins imported.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if the config has no ``model``.
    """
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise FileNotFoundError(f'target config {str(config)!r} does not exist')
        config = Config.fromfile(config)
    load_plugins()
    if 'model' not in config:
        raise RuntimeError(f'the target config {config.filename} has no `model`')
    return config


def detector_names(model: Mapping, parts: Sequence[str]) -> dict[str, str]:
    """What a detector calls the parts of an encoder: 'neck' or, of the MVX kind, 'pts_neck'.

    Args:
        model: config of the detector.
        parts: names in the encoder.

    Raises:
        RuntimeError: if the detector lacks a part.
    """
    names = {}
    for part in parts:
        found = [name for name in (f'pts_{part}', part) if model.get(name)]
        if not found:
            raise RuntimeError(
                f'{model.get("type")} has neither {part!r} nor {"pts_" + part!r}: it has '
                f'{sorted(key for key, value in model.items() if isinstance(value, Mapping))}'
            )
        names[part] = found[0]
    return names


def build_detector_parts(
    config: Config, encoder: Mapping, names: Mapping[str, str]
) -> tuple[nn.Module, list[str]]:
    """The pre-training encoder, but with the parts as another network's config has them.

    Args:
        config: of the other network, see :func:`read_target`.
        encoder: config of the pre-training encoder; cuts the voxels of both.
        names: see :func:`detector_names`.

    Returns:
        The encoder, and sentences about what the target has besides or does otherwise.
    """
    notes, parts = [], {}
    for part, name in names.items():
        parts[part] = dict(config.model[name])
        # without pictures it is not called
        if parts[part].pop('fusion_layer', None):
            notes.append(f'{name}.fusion_layer starts from random weights')
    mine = encoder['voxel_layer']
    theirs = (config.model.get('data_preprocessor') or {}).get('voxel_layer') or {}
    for key in sorted(set(mine) & set(theirs)):
        if list(np.ravel(mine[key])) != list(np.ravel(theirs[key])):
            notes.append(f'{key} is {mine[key]} in the pre-training, {theirs[key]} in the target')
    kind = encoder['type'] if '.' in encoder['type'] else f'mm3dpretrain.{encoder["type"]}'
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mm3dpretrain'):
        return build_encoder({**encoder, **parts, 'type': kind}), notes


def _renamed(key: str, names: Mapping[str, str]) -> str:
    first, dot, rest = key.partition('.')
    return names.get(first, first) + dot + rest


def build_target(config: str | os.PathLike | Config, part: str = 'backbone') -> nn.Module:
    """The encoder of another network's config, built in that network's own scope.

    Args:
        config: config file or config with ``model``.
        part: key of the encoder in ``model``; without such a key the whole model is built.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if the config has no ``model``.
    """
    config = read_target(config)
    scope = config.get('default_scope') or 'mm3dpretrain'
    # the target's names resolve in its own package; afterwards this package's scope is back
    with DefaultScope.overwrite_default_scope(scope):
        return build_encoder(config.model.get(part) or config.model)


def fixed_inputs(module: str, encoder: nn.Module) -> tuple:
    """What both encoders are called with to compare them.

    Args:
        module: 'image' gives two images (2, 3, 64, 64), everything else two clouds
            (2, 1024, in_channels) in the unit ball.
        encoder: the encoder of the pre-training; where its ``transfer_part`` takes something else
            than clouds (voxels), its ``backbone_inputs`` makes that of them. One with a
            ``point_cloud_range`` gets its clouds all over that range.
    """
    generator = torch.Generator().manual_seed(0)
    if module == 'image':
        return (torch.randn(2, 3, 64, 64, generator=generator),)
    if hasattr(encoder, 'point_cloud_range'):
        low, high = torch.tensor(encoder.point_cloud_range).view(2, 3)
        points = torch.rand(2, 4096, encoder.in_channels, generator=generator)
        points[..., :3] = low + points[..., :3] * (high - low)
        return (points,)
    points = torch.randn(2, 1024, getattr(encoder, 'in_channels', 3), generator=generator)
    points = points / points[..., :3].norm(dim=-1).amax(dim=1)[:, None, None]
    return encoder.backbone_inputs(points) if hasattr(encoder, 'backbone_inputs') else (points,)


@torch.no_grad()
def _same_features(
    source: nn.Module, taker: nn.Module, inputs: tuple, report: LoadReport
) -> bool | None:
    """Whether both encoders give bit-equal features; None if that cannot be said."""
    # what an adapter adds to the encoder has weights of its own: it says what lies before that
    forward = getattr(taker, 'pretraining_features', None)
    if forward is None:
        if report.missing:
            return None
        forward = taker
    before, after = source(*inputs), forward(*inputs)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        after = {key: after[key] for key in before if key in after}
    before, after = _tensors(before), _tensors(after)
    return len(before) == len(after) and all(map(torch.equal, before, after))


@torch.no_grad()
def _same_layers(
    source: nn.Module, taker: nn.Module, inputs: tuple, report: LoadReport
) -> bool | None:
    """Whether the layers that were matched give bit-equal outcomes in both networks."""
    layers = sorted({key.rpartition('.')[0] for key in report.matched} - {''})
    before, after = (_layer_outputs(module, layers, inputs) for module in (source, taker))
    shared = [name for name in before if name in after]
    if not shared:
        return None
    before, after = ([t for name in shared for t in _tensors(x[name])] for x in (before, after))
    return len(before) == len(after) and all(map(torch.equal, before, after))


def _layer_outputs(module: nn.Module, layers: Sequence[str], inputs: tuple) -> dict:
    """What each of the named layers gave last while ``module`` ran."""
    outputs: dict = {}

    def keep(name: str):
        return lambda layer, args, out: outputs.__setitem__(name, out)

    handles = [module.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        getattr(module, 'pretraining_features', module)(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _tensors(outputs) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(getattr(outputs, 'features', None), Tensor):  # a sparse tensor
        return [outputs.features]
    if isinstance(outputs, Mapping):
        return [t for key in sorted(outputs) for t in _tensors(outputs[key])]
    if isinstance(outputs, (list, tuple)):
        return [t for item in outputs for t in _tensors(item)]
    return []


def _plain(cfg):
    """Built-in containers only: what a checkpoint may hold and safe unpickling accepts."""
    if isinstance(cfg, Mapping):
        return {key: _plain(value) for key, value in cfg.items()}
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(_plain(value) for value in cfg)
    return cfg
