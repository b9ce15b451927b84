"""Several optimisers that update one model in one step."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from mm3dpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class MultiOptimWrapper(OptimWrapperDict):
    """One backward pass, then a step of every optimiser.

    MMEngine's ``OptimWrapperDict`` leaves ``update_params`` to the model; here the common case, one
    loss for all branches, needs nothing from the model. Gradient clipping and accumulation are
    those of the single wrappers; ``accumulative_counts`` must be the same for all.
    """

    def __init__(self, **wrappers) -> None:
        super().__init__(**wrappers)
        counts = {w._accumulative_counts for w in wrappers.values()}
        if len(counts) > 1:
            raise ValueError(
                f'all optimisers must have the same accumulative_counts, got {sorted(counts)}'
            )

    def update_params(
        self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Back-propagate once, then step and clear every optimiser when it is due."""
        wrappers = list(self.optim_wrappers.values())
        loss = wrappers[0].scale_loss(loss)
        wrappers[0].backward(loss)
        for other in wrappers[1:]:
            other._inner_count += 1  # `backward` counts for the first only
        for wrapper in wrappers:
            if wrapper.should_update():
                wrapper.step(**(step_kwargs or {}))
                wrapper.zero_grad(**(zero_kwargs or {}))

    @contextmanager
    def optim_context(self, model: nn.Module):
        """The first wrapper's context: autocast and gradient synchronisation are the model's."""
        with ExitStack() as stack:
            stack.enter_context(next(iter(self.optim_wrappers.values())).optim_context(model))
            yield


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MultiOptimWrapperConstructor:
    """Give every branch of a model its own optimiser.

    Config::

        optim_wrapper = dict(
            constructor='MultiOptimWrapperConstructor',
            point=dict(
                modules=['point_encoder', 'point_head'],
                optimizer=dict(type='AdamW', lr=1e-3),
                clip_grad=dict(max_norm=10)),
            image=dict(
                modules=['*'],  # all that no other branch names
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9)))

    ``param_scheduler`` is then a dict with the same names.

    Args:
        optim_wrapper_cfg: the branches as above; each is an ordinary ``OptimWrapper`` config plus
            ``modules``, the prefixes of its parameters' names.
        paramwise_cfg: of no use here, give it in each branch.

    Raises:
        ValueError: if a branch names nothing, no parameter is trainable, a trainable one belongs to
            no branch or a prefix to two.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg is not None:
            raise ValueError('give paramwise_cfg inside each branch of the optim_wrapper')
        self.branches = {k: dict(v) for k, v in optim_wrapper_cfg.items() if isinstance(v, dict)}
        if not self.branches:
            raise ValueError('optim_wrapper has no branches: see MultiOptimWrapperConstructor')

    def __call__(self, model: nn.Module) -> MultiOptimWrapper:
        if is_model_wrapper(model):
            model = model.module
        groups = self._split(model)
        wrappers = {}
        for name, branch in self.branches.items():
            if not groups[name]:
                print_log(f'optimiser {name!r} is left out: its modules are frozen', 'current')
                continue
            branch = {k: v for k, v in branch.items() if k != 'modules'}
            branch.setdefault('type', 'OptimWrapper')
            paramwise = branch.pop('paramwise_cfg', None)
            constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
                dict(
                    type='DefaultOptimWrapperConstructor',
                    optim_wrapper_cfg=branch,
                    paramwise_cfg=paramwise,
                )
            )
            # a view of the model with only this branch's parameters, so that MMEngine's own
            # per-parameter rules (norm decay, multipliers by name) apply
            wrappers[name] = constructor(_Branch(model, groups[name]))
            print_log(f'optimiser {name!r}: {len(groups[name])} tensors', logger='current')
        return MultiOptimWrapper(**wrappers)

    def _split(self, model: nn.Module) -> dict[str, set[str]]:
        prefixes = {}
        rest = None
        for name, branch in self.branches.items():
            for prefix in branch.get('modules', []):
                if prefix == '*':
                    if rest is not None:
                        raise ValueError(f"both {rest!r} and {name!r} ask for the rest ('*')")
                    rest = name
                elif prefix in prefixes:
                    raise ValueError(
                        f'module {prefix!r} is named by {prefixes[prefix]!r} and {name!r}'
                    )
                else:
                    prefixes[prefix] = name
        groups: dict[str, set[str]] = {name: set() for name in self.branches}
        orphans, named = [], set()
        for param_name, param in model.named_parameters():
            hits = [p for p in prefixes if param_name == p or param_name.startswith(p + '.')]
            owner = prefixes[max(hits, key=len)] if hits else rest
            named.add(owner)
            if not param.requires_grad:
                continue
            if owner is None:
                orphans.append(param_name)
            else:
                groups[owner].add(param_name)
        if orphans:
            raise ValueError(
                f'{len(orphans)} trainable parameters belong to no optimiser, such as '
                f"{orphans[0]!r}: name their module, or give one branch modules=['*']"
            )
        empty = [name for name in groups if name not in named]
        if empty:
            known = sorted({n.split('.')[0] for n, _ in model.named_parameters()})
            raise ValueError(f'no parameters for optimiser {empty}: the modules are {known}')
        if not any(groups.values()):
            raise ValueError('every parameter is frozen: there is nothing to optimise')
        return groups


class _Branch(nn.Module):
    """The parameters of some names of a model, under their own module paths."""

    def __init__(self, model: nn.Module, names: set[str]) -> None:
        super().__init__()
        for name in sorted(names):
            *path, leaf = name.split('.')
            source, target = model, self
            for part in path:
                source = getattr(source, part)
                if part not in target._modules:
                    shell = nn.Module()
                    # the class decides MMEngine's norm and convolution rules
                    shell.__class__ = type(source)
                    target._modules[part] = shell
                target = target._modules[part]
            target._parameters[leaf] = getattr(source, leaf)
