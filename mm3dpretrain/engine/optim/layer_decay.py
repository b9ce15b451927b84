"""Learning rates that fall from the output of an encoder to its input."""

from __future__ import annotations

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mm3dpretrain.engine.strategies.sharding import plain_name
from mm3dpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default with a factor for every layer of one module (BEiT, appendix; Uni3D).

    A parameter of layer k of n has ``rate ** (n - 1 - k)`` times the learning rate that it would
    have; parameters outside the module keep theirs. Config::

        optim_wrapper = dict(
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
            paramwise_cfg=dict(
                layer_decay=dict(module='point_encoder', rate=0.95),
                norm_decay_mult=0.0, bias_decay_mult=0.0))

    The module tells its layers: ``num_layers``, n, and ``layer_index(name)``, k in [0, n), for the
    name of a parameter inside it (:class:`~mm3dpretrain.models.encoders.PPAT`,
    :class:`~mm3dpretrain.models.encoders.Uni3DViT`).

    Args:
        optim_wrapper_cfg: of the wrapper.
        paramwise_cfg: as in MMEngine, and ``layer_decay``: ``module``, its name in the model, and
            ``rate`` in (0, 1].

    Raises:
        ValueError: for a missing ``layer_decay``, a rate outside (0, 1], or a module that is not
            there or does not tell its layers.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        decay = paramwise_cfg.pop('layer_decay', None)
        if not decay or set(decay) != {'module', 'rate'} or not 0 < decay['rate'] <= 1:
            raise ValueError(
                "paramwise_cfg needs layer_decay=dict(module='point_encoder', rate=0.95) with a "
                f'rate in (0, 1], got {decay}'
            )
        self.module, self.rate = decay['module'], decay['rate']
        # without any entry MMEngine would make one group of all parameters
        super().__init__(optim_wrapper_cfg, paramwise_cfg or dict(custom_keys={}))

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Add the groups of a module; those of the whole model get their factors at the end."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix == '':
            self._decay(params, module)

    def _decay(self, params: list[dict], model: nn.Module) -> None:
        try:
            part = model.get_submodule(self.module)
        except AttributeError:
            raise ValueError(f'the model has no module {self.module!r} to decay') from None
        if not hasattr(part, 'layer_index'):
            raise ValueError(
                f'{self.module!r}, a {type(part).__name__}, does not tell its layers: give it '
                'num_layers and layer_index(name), or take the default constructor'
            )
        last = part.num_layers - 1
        factors = {
            id(parameter): self.rate ** (last - part.layer_index(plain_name(name)))
            for name, parameter in part.named_parameters()
        }
        for group in params:
            # MMEngine makes one group of every parameter
            for factor in {factors.get(id(p)) for p in group['params']} - {None}:
                group['lr'] = group.get('lr', self.base_lr) * factor
