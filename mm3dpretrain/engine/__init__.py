from . import hooks, optim, strategies
from .loops import ResumableTrainLoop
from .stream_loop import ResumableIterTrainLoop

__all__ = ['ResumableIterTrainLoop', 'ResumableTrainLoop', 'hooks', 'optim', 'strategies']
