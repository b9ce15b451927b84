"""Settings of rendered data sets: layouts, frames, view sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..registry import TASK_UTILS
from ..structures.cameras import Cameras
from .mesh_io import stable_seed
from .view_rendering import RENDER_VERSION

LAYOUTS = {'shapenet': ('shapenet',), 'rgbd': ('rgbd',), 'both': ('shapenet', 'rgbd')}
NORMALIZATIONS = {'unit-sphere': 'unit_sphere', 'unit-cube': 'unit_cube', 'none': 'none'}
TOOL_VERSION = 1  # count it up when the same settings give other files
# sets of a fixed frame in which +z is up: they would show the models, +y up, lying on their side
NOT_UPRIGHT = ('SpareNetViews',)
DEFAULT_VIEWS = dict(type='OrbitViews', num_views=12, elevation=(10.0, 40.0), distance=2.8)


@dataclass(frozen=True)
class Settings:
    """All that determines what is in the files; stored in ``render_views.json``.

    Args:
        layouts: of 'shapenet' and 'rgbd'.
        views: ``type`` and arguments of a view set; a list of ``elevation`` makes one set for each
            of them, turned against each other, with an equal share of ``num_views``.
        image_size: (H, W).
        supersample: each pixel is the mean of this number squared samples.
        background: RGB of pictures without transparency, and of invisible pixels.
        num_points: of each cloud.
        up_axis: 'y' or 'z', of the input; the output is +y up.
        normalize: 'unit-sphere' (centre of the bounding box at the origin, farthest vertex at
            distance 1), 'unit-cube' (longest side of the box from -0.5 to 0.5) or 'none' (unit and
            place of the input).
        seed: of random views and of points.
        test_fraction: see :func:`find_models`.

    Raises:
        ValueError: for impossible values.
    """

    layouts: tuple[str, ...] = ('shapenet',)
    views: Mapping | None = None
    image_size: tuple[int, int] = (224, 224)
    supersample: int = 2
    background: tuple[int, int, int] = (255, 255, 255)
    num_points: int = 8192
    up_axis: str = 'y'
    normalize: str = 'unit-sphere'
    seed: int = 0
    test_fraction: float = 0.0
    version: tuple[int, int] = (TOOL_VERSION, RENDER_VERSION)

    def __post_init__(self) -> None:
        if self.views is None:
            object.__setattr__(self, 'views', dict(DEFAULT_VIEWS))
        if not self.layouts or set(self.layouts) - {'shapenet', 'rgbd'}:
            raise ValueError(f"layouts must be of 'shapenet' and 'rgbd', got {self.layouts}")
        if self.up_axis not in ('y', 'z'):
            raise ValueError(f"up_axis must be 'y' or 'z', got {self.up_axis!r}")
        if self.normalize not in NORMALIZATIONS:
            raise ValueError(f'normalize must be of {[*NORMALIZATIONS]}, got {self.normalize!r}')
        if self.num_points < 1 or self.supersample < 1:
            raise ValueError(
                'num_points and supersample must be at least 1, got '
                f'{self.num_points} and {self.supersample}'
            )
        if len(self.background) != 3 or not all(0 <= c <= 255 for c in self.background):
            raise ValueError(f'background must be three of 0 to 255, got {self.background}')
        projection = self.cameras('').projection
        # the view sets take both, and leave one of them out of account
        unused = 'scale' if projection == 'perspective' else 'fov'
        if self.views.get(unused) is not None:
            raise ValueError(f'{unused}={self.views[unused]} means nothing to {projection} views')
        if 'rgbd' in self.layouts and projection != 'perspective':
            raise ValueError(
                f'frames of a scan are perspective, but the views are {projection}: choose the '
                "layout 'shapenet' or perspective views at a fitting distance"
            )

    def cameras(self, model_id: str) -> Cameras:
        """Views of one model in the unit sphere, +y up; the seed and the id fix random ones."""
        generator = torch.Generator().manual_seed(stable_seed(f'{self.seed}/views/{model_id}'))
        return build_views(self.views, self.image_size)(generator)


def view_sets() -> list[str]:
    """Names of the registered view sets that can stand upright in a frame with +y up."""
    TASK_UTILS.import_from_location()
    names = sorted(name for name in TASK_UTILS.module_dict if name.endswith('Views'))
    return [name for name in names if name not in NOT_UPRIGHT]


def find_view_set(name: str) -> str:
    """The registered name of a view set: 'orbit', 'cube-corner' and 'OrbitViews' are understood.

    Raises:
        ValueError: if there is none of this name.
    """

    def plain(text: str) -> str:
        return text.lower().replace('-', '').replace('_', '').removesuffix('views')

    found = [known for known in view_sets() if plain(known) == plain(name)]
    if not found:
        raise ValueError(f'no view set {name!r}, there are {view_sets()}')
    return found[0]


def build_views(views: Mapping, image_size: tuple[int, int]) -> Callable[..., Cameras]:
    """A function of a generator that gives the cameras; see :class:`Settings`.

    Raises:
        ValueError: for arguments that the view set does not take, or impossible values.
    """
    view_sets()  # registers them
    args = dict(views)
    elevations = args.get('elevation')
    if args.get('type') == 'RandomViews' and elevations is not None and np.size(elevations) != 2:
        raise ValueError(f'random views take the lowest and highest elevation, got {elevations}')
    several = isinstance(elevations, (list, tuple)) and args.get('type') == 'OrbitViews'
    if not several:
        return _build(args, image_size)
    total = args.pop('num_views', DEFAULT_VIEWS['num_views'])
    count = len(elevations)
    if count == 0 or total < count or total % count:
        raise ValueError(f'num_views={total} must be a multiple of the {count} elevations')
    start = args.pop('start_azimuth', 0.0)
    sets = [
        _build(
            {
                **args,
                'num_views': total // count,
                'elevation': elevation,
                'start_azimuth': start + i * 360.0 / total,
            },
            image_size,
        )
        for i, elevation in enumerate(elevations)
    ]

    def cameras(generator: torch.Generator | None = None) -> Cameras:
        circles = [views(generator) for views in sets]
        return Cameras(
            torch.cat([c.extrinsics for c in circles], 1),
            torch.cat([c.intrinsics for c in circles], 1),
            circles[0].image_size,
            circles[0].projection,
        )

    return cameras


def _build(args: dict, image_size: tuple[int, int]) -> Callable[..., Cameras]:
    height, width = image_size
    args = {**args, 'image_size': height if height == width else (height, width)}
    try:
        try:
            return TASK_UTILS.build({**args, 'up_axis': 'y'})
        except TypeError as error:
            if 'up_axis' not in str(error):  # some sets are of a fixed frame
                raise
            return TASK_UTILS.build(args)
    except (TypeError, KeyError) as error:
        raise ValueError(f'views {args}: {" ".join(str(error).split())}') from error
