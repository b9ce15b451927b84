"""Reading checkpoints: safely, and never with a silent no-op."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from mm3dpretrain.compat import load_checkpoint
from mm3dpretrain.registry import MODELS
from mm3dpretrain.utils import prepare_runtime

PREVIEW = 5


@dataclass
class LoadReport:
    """How the keys of a checkpoint fit a module.

    Attributes:
        matched: keys that are on both sides with the same shape.
        missing: keys of the module that the checkpoint lacks.
        unexpected: keys of the checkpoint that the module lacks.
        mismatched: key -> (shape in the module, shape in the checkpoint).
    """

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f'{len(self.matched)} matched, {len(self.missing)} missing, '
            f'{len(self.unexpected)} unexpected, {len(self.mismatched)} of another shape'
        ]
        for name, keys in (('missing', self.missing), ('unexpected', self.unexpected)):
            if keys:
                lines.append(f'  {name}: {_preview(keys)}')
        shapes = [f'{k}: expected {a}, found {b}' for k, (a, b) in self.mismatched.items()]
        if shapes:
            lines.append(f'  another shape: {_preview(shapes)}')
        old = sum(len(a) == 5 and b == (*a[1:], a[0]) for a, b in self.mismatched.values())
        if old:
            lines.append(
                f'  {old} of these are kernels of spconv 1 (D, H, W, in, out) where the model has '
                'those of spconv 2 (out, D, H, W, in): '
                'tools/model_converters/spconv1_to_spconv2.py turns them'
            )
        return '\n'.join(lines)

    def require(self, source: str, allow_missing: bool = False) -> None:
        """Raise unless the checkpoint really fills the module.

        Args:
            source: name of the checkpoint, for the message.
            allow_missing: accept keys of the module that the checkpoint lacks.

        Raises:
            RuntimeError: if nothing matches, a shape differs, or keys are missing.
        """
        if self.mismatched:
            reason = 'holds weights of another width'
        elif not self.matched:
            reason = 'matches no weight of this model'
        elif self.missing and not allow_missing:
            reason = 'fills the model only in part'
        else:
            return
        raise RuntimeError(f'{source} {reason}: {self}')


def _preview(items: list[str]) -> str:
    more = f', ... ({len(items) - PREVIEW} more)' if len(items) > PREVIEW else ''
    return ', '.join(items[:PREVIEW]) + more


def compare_keys(module: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Compare a module with weights without loading them."""
    report = LoadReport()
    own = module.state_dict()
    for key, value in own.items():
        if key not in state_dict:
            report.missing.append(key)
        elif tuple(state_dict[key].shape) != tuple(value.shape):
            report.mismatched[key] = (tuple(value.shape), tuple(state_dict[key].shape))
        else:
            report.matched.append(key)
    report.unexpected = [key for key in state_dict if key not in own]
    return report


def load_weights(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    source: str = 'the checkpoint',
    allow_missing: bool = False,
) -> LoadReport:
    """Load weights and say what was loaded.

    Args:
        module: filled in place.
        state_dict: weights; keys that the module lacks are reported as unexpected.
        source: name for messages.
        allow_missing: accept that the module has keys which the weights lack.

    Raises:
        RuntimeError: if nothing matches, a shape differs, or keys are missing; the module is then
            unchanged.
    """
    report = compare_keys(module, state_dict)
    report.require(source, allow_missing)
    module.load_state_dict({key: state_dict[key] for key in report.matched}, strict=False)
    return report


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read a checkpoint file on the CPU without executing anything that it contains.

    Args:
        path: a file written by a training, by ``tools/export_backbone.py``, or a bare state dict.

    Returns:
        A dict with ``state_dict`` (name -> tensor) and ``meta`` (dict, maybe empty).

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if the file is no checkpoint, is damaged, or holds code.
    """
    content = load_checkpoint(path, map_location='cpu')
    if not isinstance(content, Mapping):
        raise RuntimeError(f'{path} holds a {type(content).__name__}, not a checkpoint')
    state_dict = content.get('state_dict', content)
    tensors = {k: v for k, v in state_dict.items() if isinstance(v, Tensor)}
    if not tensors:
        raise RuntimeError(
            f'{path} holds no weights; its keys are {_preview([*map(str, content)])}'
        )
    meta = content.get('meta', {}) if 'state_dict' in content else {}
    return dict(state_dict=tensors, meta=dict(meta or {}))


def strip_prefix(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below ``prefix`` (``'point_encoder.'``), without it."""
    prefix = prefix if not prefix or prefix.endswith('.') else prefix + '.'
    return {k[len(prefix) :]: v for k, v in state_dict.items() if k.startswith(prefix)}


def weights_of(checkpoint: str, prefix: str = '') -> dict[str, Tensor]:
    """Weights of a file, URL or model-zoo name, below ``prefix``, as MMEngine would load them."""
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    state_dict = content.get('state_dict', content)
    if not prefix:
        state_dict = {key.removeprefix('module.'): value for key, value in state_dict.items()}
    return strip_prefix(state_dict, prefix)


def config_of(meta: Mapping, source: str = 'the checkpoint') -> Config:
    """The config that a training stored in its checkpoint.

    The stored text is Python. It is read as plain values (numbers, text, lists, ``dict(...)``)
    and never executed, for a checkpoint may come from anywhere. Its ``custom_imports`` are done:
    they only name modules that are already installed here.

    Args:
        meta: ``checkpoint['meta']``.
        source: name for messages.

    Raises:
        RuntimeError: if there is none, or it holds more than plain values.
        ImportError: if one of its ``custom_imports`` is not installed.
    """
    text = meta.get('cfg')
    if not text:
        raise RuntimeError(f'{source} records no config: name it with --config')
    values = {}
    try:
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise ValueError(f'line {statement.lineno} is no plain assignment')
            values[statement.targets[0].id] = _plain_value(statement.value)
    except (SyntaxError, ValueError, AttributeError) as error:
        raise RuntimeError(
            f'the config stored in {source} is not made of plain values ({error}): '
            'name the config with --config'
        ) from error
    if values.get('custom_imports'):
        import_modules_from_strings(**values['custom_imports'])
    return Config(values)


def _plain_value(node: ast.expr):
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == 'dict':
            # dict(a=1), dict({'a b': 1}) and dict(**{'a b': 1})
            parts = [_plain_value(arg) for arg in node.args]
            for keyword in node.keywords:
                value = _plain_value(keyword.value)
                parts.append(value if keyword.arg is None else {keyword.arg: value})
            return {key: value for part in parts for key, value in dict(part).items()}
        raise ValueError(f'line {node.lineno} calls a function')
    if isinstance(node, ast.Dict):
        return {_plain_value(k): _plain_value(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_plain_value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    return ast.literal_eval(node)


def check_conventions(meta: Mapping, source: str = 'the checkpoint', **expected) -> list[str]:
    """Compare what a checkpoint says of its training data with what it is about to be fed.

    Args:
        meta: ``checkpoint['meta']``.
        source: name for messages.
        **expected: any of ``method``, ``gravity_axis``, ``normalization``, ``point_channels``.
            None, 'none' and 'unknown' on either side are compatible with everything.

    Returns:
        One sentence for each difference, with both values.
    """
    record = meta.get('mm3dpretrain', {})
    vague = (None, 'none', 'unknown')
    differences = []
    for key, wanted in expected.items():
        found = record.get(key)
        if isinstance(wanted, (list, tuple)):
            wanted, found = list(wanted), None if found is None else list(found)
        if wanted in vague or found in vague or wanted == found:
            continue
        differences.append(f'{source} was trained with {key}={found!r}, here it is {wanted!r}')
    return differences


def load_pretrained(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike | Config | None = None,
    device: str | torch.device = 'cpu',
    allow_missing: bool = False,
) -> nn.Module:
    """Build the model of a checkpoint and load it.

    Args:
        checkpoint: file written by a training of this toolbox.
        config: config file or config; default the one stored in the checkpoint.
        device: where the model goes.
        allow_missing: accept weights that the checkpoint lacks (they keep their construction).

    Returns:
        The model in eval mode, with ``model.cfg`` (the whole config), ``model.checkpoint_meta``
        (the meta of the checkpoint) and ``model.load_report`` (which keys were matched, missing
        and unexpected).

    Raises:
        FileNotFoundError: if checkpoint or config do not exist.
        RuntimeError: if the file is no checkpoint or holds code; if it comes from another method
            or has another width than the config; if weights are missing.
    """
    content = read_checkpoint(checkpoint)
    meta = content['meta']
    cfg = prepare_runtime(config_of(meta, str(checkpoint)) if config is None else config)
    if 'model' not in cfg:
        raise RuntimeError(f'the config of {checkpoint} has no `model`')
    wanted, found = method_of(cfg.model), meta.get('mm3dpretrain', {}).get('method')
    if found is not None and found != wanted:
        raise RuntimeError(
            f'{checkpoint} is of another method: the config builds {wanted}, '
            f'the checkpoint holds {found}'
        )
    model = MODELS.build(without_checkpoints(cfg.model))
    report = load_weights(model, content['state_dict'], str(checkpoint), allow_missing)
    model.cfg, model.checkpoint_meta, model.load_report = cfg, meta, report
    return model.to(device).eval()


def method_of(model_cfg: Mapping) -> str:
    """Class name of a model config, without its scope."""
    kind = model_cfg['type']
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__


def without_checkpoints(cfg):
    """A copy of a config without ``init_cfg`` of type 'Pretrained' or 'PretrainedParts'.

    The weights come from elsewhere, so the files that the training started from need not exist.
    """
    if isinstance(cfg, Mapping):
        copied = {k: without_checkpoints(v) for k, v in cfg.items()}
        if _loads_checkpoint(copied.get('init_cfg')):
            copied['init_cfg'] = None
        return copied
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(without_checkpoints(v) for v in cfg)
    return cfg


def _loads_checkpoint(init_cfg) -> bool:
    if isinstance(init_cfg, (list, tuple)):
        return any(_loads_checkpoint(item) for item in init_cfg)
    if not isinstance(init_cfg, Mapping):
        return False
    return str(init_cfg.get('type')).rpartition('.')[2] in ('Pretrained', 'PretrainedParts')
