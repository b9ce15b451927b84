"""What the converters of released checkpoints share: safe reading, renaming, reporting, writing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from mm3dpretrain.compat import load_checkpoint

#: (pattern of the whole key, new name or None where the weight is left out, reason to leave it out)
Rule = tuple[str, str | None] | tuple[str, str | None, str]


class Conversion(NamedTuple):
    """Outcome of :func:`rename`.

    Attributes:
        state_dict: new name -> weight.
        mapped: old name -> new name.
        left_out: old name -> reason.
    """

    state_dict: dict[str, Tensor]
    mapped: dict[str, str]
    left_out: dict[str, str]


def read_state_dict(path: str | os.PathLike, entry: str = 'base_model') -> dict[str, Tensor]:
    """Weights of a released checkpoint, read without executing code from it.

    Args:
        path: file written by ``torch.save``.
        entry: under which key such releases keep the weights; a bare state dict is accepted too.

    Returns:
        Name -> tensor, on the CPU, without the ``module.`` of parallel training.

    Raises:
        FileNotFoundError: if the file does not exist.
        RuntimeError: if it holds code or is damaged (``CheckpointError``), or has no weights.
    """
    content = load_checkpoint(path, map_location='cpu')
    state = content.get(entry, content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
        found = sorted(map(str, content))[:10] if isinstance(content, dict) else type(content)
        raise RuntimeError(
            f'{os.fspath(path)!r} contains no weights under {entry!r}; it has {found}'
        )
    return {
        key.removeprefix('module.'): value
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def rename(state_dict: dict[str, Tensor], rules: Sequence[Rule]) -> Conversion:
    """Apply the first rule that matches each key.

    Weights of convolutions with kernel 1 lose their trailing axes of size 1 and become those of
    linear layers.

    Args:
        state_dict: released names and weights.
        rules: pattern (matched against the whole key), replacement as in :func:`re.sub`, or None
            and a reason to leave the weight out.

    Returns:
        The renamed weights and what became of every key.

    Raises:
        RuntimeError: if a key is unknown to the rules, two keys get the same name, or nothing is
            left: a conversion never loses weights silently.
    """
    converted: dict[str, Tensor] = {}
    mapped: dict[str, str] = {}
    left_out: dict[str, str] = {}
    unknown = []
    for key, value in state_dict.items():
        for pattern, name, *reason in rules:
            match = re.fullmatch(pattern, key)
            if match is None:
                continue
            if name is None:
                left_out[key] = reason[0]
                break
            new = match.expand(name)
            if new in converted:
                raise RuntimeError(f'{key!r} and another weight would both become {new!r}')
            if key.endswith('.weight') and value.dim() > 2 and set(value.shape[2:]) == {1}:
                value = value.flatten(1)
            converted[new], mapped[key] = value, new
            break
        else:
            unknown.append(key)
    if unknown:
        raise RuntimeError(
            f'{len(unknown)} weights are unknown to this converter, e.g. {unknown[:8]}: is it the '
            'right converter for this checkpoint?'
        )
    if not converted:
        raise RuntimeError(f'none of the {len(state_dict)} weights is used: nothing to convert')
    return Conversion(converted, mapped, left_out)


def report(conversion: Conversion) -> str:
    """Readable summary: how many weights went where, and which were left out and why."""
    targets: dict[str, int] = {}
    for name in conversion.mapped.values():
        part = name.split('.')[0]
        targets[part] = targets.get(part, 0) + 1
    lines = [f'{count:5d} weights -> {part}' for part, count in sorted(targets.items())]
    reasons: dict[str, list[str]] = {}
    for key, reason in conversion.left_out.items():
        reasons.setdefault(reason, []).append(key)
    for reason, keys in reasons.items():
        lines.append(f'{len(keys):5d} weights left out ({reason}), e.g. {keys[0]}')
    return '\n'.join(lines)


def write_checkpoint(path: str | os.PathLike, state_dict: dict[str, Tensor], meta: dict) -> None:
    """Write ``dict(meta, state_dict)``, through a temporary name so that no half file remains."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.part')
    torch.save(dict(meta=meta, state_dict=state_dict), temporary)
    os.replace(temporary, path)


#: keys of the transformer that Point-BERT and Point-MAE share, after their own prefix
TRANSFORMER_RULES: tuple[Rule, ...] = (
    (r'(cls_token|cls_pos)', r'\1'),
    (r'encoder\.first_conv\.(.+)', r'patch_embed.first.\1'),
    (r'encoder\.second_conv\.(.+)', r'patch_embed.second.\1'),
    (r'reduce_dim\.(weight|bias)', r'patch_embed.reduce.\1'),
    (r'pos_embed\.(0|2)\.(weight|bias)', r'pos_embed.\1.\2'),
    (r'blocks\.blocks\.(\d+)\.(.+)', r'blocks.layers.\1.\2'),
    (r'norm\.(weight|bias)', r'norm.\1'),
)


def with_prefix(rules: Sequence[Rule], old: str, new: str) -> list[Rule]:
    """The rules for keys that start with ``old``, with results that start with ``new``.

    Args:
        rules: patterns with at most numbered groups.
        old: literal prefix of the keys, possibly empty.
        new: prefix of the new names.
    """
    return [
        (re.escape(old) + pattern, None if name is None else new + name, *reason)
        for pattern, name, *reason in rules
    ]
