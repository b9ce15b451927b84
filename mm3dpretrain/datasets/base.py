"""What all data sets of this package share."""

from __future__ import annotations

import copy
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..registry import TRANSFORMS


def build_transforms(steps: Sequence[Mapping | Callable]) -> list[Callable]:
    """Transforms of their configs, whose names resolve in this package's scope without a runner.

    Args:
        steps: configs, or transforms, which stay as they are.
    """
    return [TRANSFORMS.build(step) if isinstance(step, Mapping) else step for step in steps]


class PretrainDataset(BaseDataset, ABC):
    """A data set with a ``split``, its transforms and its meta information, which names the split.

    Args:
        data_root: folder of the data set.
        split: which part to read.
        pipeline: transforms, or their configs.
        **kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        split: str,
        pipeline: Sequence[dict | Callable] = (),
        **kwargs,
    ) -> None:
        self.split = split
        super().__init__(
            data_root=os.fspath(data_root), pipeline=build_transforms(pipeline), **kwargs
        )
        self._metainfo.setdefault('split', split)

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | None = None) -> dict:
        # MMEngine reads texts as names of files: an axis 'y' is a warning, and worse where a file
        # or folder y lies in the working directory
        return copy.deepcopy({**cls.METAINFO, **(metainfo or {})})

    @abstractmethod
    def load_data_list(self) -> list[dict]:
        """All records of the split; the class docstring tells their keys."""

    @staticmethod
    def _log(message: str) -> None:
        print_log(message, logger='current')

    @staticmethod
    def _warn(message: str) -> None:
        print_log(message, logger='current', level=logging.WARNING)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(data_root={self.data_root!r}, split={self.split!r})'
