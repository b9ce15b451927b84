from . import hooks, optim
from .loops import ResumableTrainLoop

__all__ = ['ResumableTrainLoop', 'hooks', 'optim']
