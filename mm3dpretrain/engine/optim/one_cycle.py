"""One-cycle learning rate whose checkpoints hold plain data only."""

from __future__ import annotations

from mmengine.optim import OneCycleLR as MMEngineOneCycleLR

from mm3dpretrain.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class OneCycleLR(MMEngineOneCycleLR):
    """MMEngine's schedule of the same name: up to ``eta_max``, then down, along cosines.

    MMEngine's writes a function into every checkpoint, which cannot be loaded with
    ``weights_only=True``, so that no such run could be resumed or tested here. Give the length as
    ``end``: then tools that shorten a run shorten its schedule too.
    """

    def state_dict(self) -> dict:
        """All values; the function comes from the constructor again."""
        return {key: value for key, value in super().state_dict().items() if key != 'anneal_func'}
