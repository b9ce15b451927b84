"""Models of OpenCLIP by name, or small ones by a dict of OpenCLIP's own settings."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mm3dpretrain.compat import require


def unknown_name(what: str, name: str, known: Sequence[str]) -> ValueError:
    """The error for a name that a collection of models lacks, with the nearest ones."""
    close = (
        difflib.get_close_matches(name, known, 5, 0.5)
        or [k for k in known if k.startswith(name.split('_')[0][:6])][:5]
    )
    return ValueError(f'{what} has no model {name!r}; similar ones: {close}')


def open_clip():
    """The package, or an ImportError that says how to get it."""
    return require('open_clip', 'clip', 'a model of OpenCLIP (embeddings from a cache need none)')


def is_file_name(weights: str) -> bool:
    """Whether weights are meant as a file and not as one of OpenCLIP's tags."""
    return Path(weights).suffix in ('.pt', '.pth', '.bin', '.safetensors') or '/' in weights


def check_model_name(name: str, weights: str | None = None) -> None:
    """Refuse what OpenCLIP does not know.

    Args:
        name: such as 'ViT-B-32'.
        weights: a tag such as 'laion2b_s34b_b79k', a file, or None.

    Raises:
        ImportError: if OpenCLIP is not installed.
        ValueError: for an unknown name or tag, with near matches.
    """
    clip = open_clip()
    if name not in clip.list_models():
        raise unknown_name('OpenCLIP', name, clip.list_models())
    if weights is None or is_file_name(weights):
        return
    tags = clip.list_pretrained_tags_by_model(name)
    if weights not in tags:
        close = difflib.get_close_matches(weights, tags, 3, 0.5)
        raise ValueError(
            f'OpenCLIP has no weights {weights!r} of {name}; near ones: {close}, all: {tags}. A '
            'file needs its suffix'
        )


def build_open_clip(model: str | Mapping, weights: str | None = None) -> nn.Module:
    """A model of OpenCLIP with random weights.

    Args:
        model: a name; or OpenCLIP's ``model_cfg``: ``embed_dim``, ``vision_cfg``, ``text_cfg`` and
            what else its ``CLIP`` takes. Without ``text_cfg`` it is an image tower alone, whose
            weights have the same names.
        weights: that will be loaded later. A tag decides on the activation: OpenAI's weights of
            'ViT-B-32' were trained with another GELU than OpenCLIP's model of that name has.

    Returns:
        With ``encode_image(img)`` and, unless it is an image tower, ``encode_text(tokens)``.

    Raises:
        ImportError: if OpenCLIP is not installed.
        ValueError: for an unknown name or settings that OpenCLIP does not take.
        RuntimeError: if the model needs files of the hub that cannot be had.
    """
    clip = open_clip()
    if isinstance(model, str):
        check_model_name(model)
        try:
            return clip.create_model(
                model,
                pretrained=None,
                pretrained_text=False,
                force_quick_gelu=needs_quick_gelu(model, weights),
            )
        except Exception as error:  # whatever the hub's client raises
            raise RuntimeError(f'OpenCLIP could not build {model!r}: {error}') from error
    settings = {key: value for key, value in model.items() if key != 'custom_text'}
    custom = bool(model.get('custom_text', False))
    kind = clip.CustomTextCLIP if custom else clip.CLIP
    known = set(inspect.signature(kind).parameters)
    missing = {'embed_dim', 'vision_cfg'} - set(settings)
    if missing or set(settings) - known:
        raise ValueError(
            f'a model of OpenCLIP takes {sorted(known)}, of which text_cfg may be left out; '
            f'got {sorted(settings)}'
        )
    settings = {k: dict(v) if isinstance(v, Mapping) else v for k, v in settings.items()}
    settings['vision_cfg'] = {
        # only a tuple makes a ResNet, and configs turn tuples into lists
        k: tuple(v) if isinstance(v, list) else v
        for k, v in settings['vision_cfg'].items()
    }
    image_only = 'text_cfg' not in settings
    if image_only:
        settings['text_cfg'] = dict(width=8, heads=1, layers=1, vocab_size=8, context_length=2)
    try:
        network = kind(**settings)
    except TypeError as error:
        raise ValueError(f'OpenCLIP does not take {dict(model)}: {error}') from error
    return ImageTower(network.visual) if image_only else network


class ImageTower(nn.Module):
    """The image side of a model of OpenCLIP, with the weight names of the whole.

    Args:
        visual: tower from (B, 3, H, W) to (B, D).

    Attributes:
        logit_scale: logarithm of CLIP's learnable scale.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> (B, D)."""
        return self.visual(image)


def build_tokenizer(model: str | Mapping) -> Callable[[list[str]], Tensor]:
    """The tokenizer that belongs to a model: texts -> (K, L) int64.

    Args:
        model: as for :func:`build_open_clip`; a dict has OpenAI's byte pair encoding, cut or
            filled to the ``context_length`` of its ``text_cfg``.

    Raises:
        ImportError: if OpenCLIP, or what the model's tokenizer needs, is not installed.
        ValueError: for an unknown name or a model without text.
        RuntimeError: if the tokenizer lies on a hub that cannot be reached.
    """
    clip = open_clip()
    if isinstance(model, str):
        check_model_name(model)
        try:
            return clip.get_tokenizer(model)
        except ImportError:
            raise
        except Exception as error:  # whatever the hub's client raises
            raise RuntimeError(
                f'OpenCLIP could not fetch the tokenizer of {model!r} ({error}): models with '
                "OpenAI's tokenizer, such as ViT-B-32, need no hub"
            ) from error
    if 'text_cfg' not in model:
        raise ValueError('this model has no text_cfg: it is an image tower and reads no text')
    return clip.SimpleTokenizer(context_length=model['text_cfg'].get('context_length', 77))


def pixel_statistics(model: str | Mapping, weights: str | None) -> tuple[list, list]:
    """Mean and deviation of RGB pictures, in 0 to 255, that a model of OpenCLIP expects.

    A tag says what it wants; a file of a named model wants what all tags of that name agree on.
    Everything else has OpenAI's numbers.
    """
    clip = open_clip()
    default = (clip.OPENAI_DATASET_MEAN, clip.OPENAI_DATASET_STD)
    found = {default}
    if isinstance(model, str):
        tags = clip.list_pretrained_tags_by_model(model)
        tags = [weights] if weights in tags else tags
        configs = [clip.get_pretrained_cfg(model, tag) for tag in tags]
        found = {
            (tuple(c.get('mean', default[0])), tuple(c.get('std', default[1]))) for c in configs
        }
    mean, std = found.pop() if len(found) == 1 else default
    return [255 * v for v in mean], [255 * v for v in std]


def needs_quick_gelu(model: str | Mapping, weights: str | None) -> bool:
    """Whether a tag was trained with OpenAI's approximation of the GELU."""
    if not isinstance(model, str) or weights is None:
        return False
    return bool(open_clip().get_pretrained_cfg(model, weights).get('quick_gelu', False))


def load_open_clip(network: nn.Module, model: str | Mapping, weights: str, prefix: str) -> None:
    """Fill a network of :func:`build_open_clip`.

    Args:
        network: filled in place.
        model: what it was made from.
        weights: a tag of OpenCLIP, fetched when it is not there, or a file: a state dict of
            OpenCLIP, ``.safetensors``, or a checkpoint of this toolbox.
        prefix: of the weights in a file; a :class:`CLIPPretrainer` has them below 'clip'.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if the tag cannot be fetched, or the weights do not fit.
    """
    from mm3dpretrain.apis.checkpoint import load_weights, strip_prefix

    if is_file_name(weights):
        state = strip_prefix(read_weight_file(weights), prefix)
    else:
        clip = open_clip()
        try:
            state = clip.create_model(model, pretrained=weights).state_dict()
        except Exception as error:  # whatever the hub's client raises
            raise RuntimeError(
                f'OpenCLIP could not fetch the weights {weights!r} of {model!r} ({error}): fetch '
                "the file elsewhere and give its path as the teacher's weights"
            ) from error
    if 'positional_embedding' in state and hasattr(network, 'text'):
        # OpenAI's naming, for a model whose text tower is a module of its own
        state = require('open_clip.model').convert_to_custom_text_state_dict(dict(state))
    hint = '' if prefix else ' (no prefix: a checkpoint of a CLIPPretrainer needs prefix="clip")'
    name = model if isinstance(model, str) else 'a model of OpenCLIP'
    load_weights(network, state, f'{weights}{hint} for {name}:')


def read_weight_file(path: str) -> dict[str, Tensor]:
    """Weights of a checkpoint or a ``.safetensors`` file; nothing in it is executed.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if it holds no weights, or code (a TorchScript archive does).
    """
    from mm3dpretrain.apis.checkpoint import read_checkpoint

    if not Path(path).is_file():
        raise FileNotFoundError(f"the teacher's weights {path!r} do not exist")
    if Path(path).suffix == '.safetensors':
        return require('safetensors.torch', why='this checkpoint').load_file(path)
    state = read_checkpoint(path)['state_dict']
    return {key.removeprefix('module.'): value for key, value in state.items()}


def image_side(network: nn.Module) -> tuple[int, int]:
    """(H, W) of the pictures that an image tower of OpenCLIP takes."""
    side = network.visual.image_size
    return (side, side) if isinstance(side, int) else tuple(side)
