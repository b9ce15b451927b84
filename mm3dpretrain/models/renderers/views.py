"""Sets of cameras around an object at the origin.

Every function returns :class:`~mm3dpretrain.structures.Cameras` with B = 1 on the CPU; the
classes of the same names give the same cameras from a config:

    views=dict(type='CubeCornerViews', image_size=256)
"""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from mm3dpretrain.registry import TASK_UTILS
from mm3dpretrain.structures import Cameras, look_at
from mm3dpretrain.structures.precision import full_precision

SQRT3 = math.sqrt(3.0)


def _axis(up_axis: str) -> int:
    if up_axis not in ('x', 'y', 'z'):
        raise ValueError(f"up_axis must be 'x', 'y' or 'z', got {up_axis!r}")
    return 'xyz'.index(up_axis)


def _image_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(image_size, Integral):
        return int(image_size), int(image_size)
    height, width = image_size
    return int(height), int(width)


def make_intrinsics(
    num_views: int,
    image_size: int | tuple[int, int],
    projection: str = 'perspective',
    fov: float = 45.0,
    scale: float = 1.0,
) -> Tensor:
    """Intrinsics of views with the principal point in the image centre and square pixels.

    Args:
        num_views: V.
        image_size: side or (H, W) in pixels.
        projection: 'perspective' or 'orthographic'.
        fov: perspective only: full angle of view over the shorter side, degrees in (0, 180).
        scale: orthographic only: 1 / half extent, in scene units, of the shorter side. With 1 the
            unit sphere touches the border; with 1.5 whatever is farther than 2/3 from the optical
            axis can fall outside.

    Returns:
        (1, V, 3, 3).

    Raises:
        ValueError: for an impossible angle, scale or projection.
    """
    height, width = _image_size(image_size)
    half = min(height, width) / 2
    if projection == 'perspective':
        if not 0 < fov < 180:
            raise ValueError(f'fov must lie in (0, 180) degrees, got {fov}')
        focal = half / math.tan(math.radians(fov) / 2)
    elif projection == 'orthographic':
        if not 0 < scale < math.inf:
            raise ValueError(f'scale must be positive, got {scale}')
        focal = half * scale
    else:
        raise ValueError(f"projection must be 'perspective' or 'orthographic', got {projection!r}")
    matrix = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return matrix.expand(1, num_views, 3, 3).clone()


def _spherical(azimuth: Tensor, elevation: Tensor, up_axis: str) -> Tensor:
    """Unit vectors (V, 3) for angles in degrees, (V,) each.

    Azimuth 0 is the axis after ``up_axis`` in the cyclic order x, y, z (+z for y up, +x for z
    up), and grows counter-clockwise as seen from above.
    """
    up = _axis(up_axis)
    azimuth, elevation = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    directions = torch.empty(len(azimuth), 3)
    directions[:, up] = elevation.sin()
    directions[:, (up + 1) % 3] = elevation.cos() * azimuth.cos()
    directions[:, (up + 2) % 3] = elevation.cos() * azimuth.sin()
    return directions


def _check_num(num_views: int) -> None:
    if num_views < 1:
        raise ValueError(f'num_views must be at least 1, got {num_views}')


def _check_distance(distance: float) -> None:
    if not 0 < distance < math.inf:
        raise ValueError(f'distance must be positive, got {distance}')


def _distance_range(distance: float | tuple[float, float]) -> tuple[float, float]:
    near, far = (distance, distance) if isinstance(distance, (int, float)) else distance
    if not 0 < near <= far < math.inf:
        raise ValueError(f'distance must be positive or a range of such, got {distance}')
    return near, far


def _look_at_origin(
    eyes: Tensor,
    image_size: int | tuple[int, int],
    projection: str,
    fov: float,
    scale: float,
    up_axis: str,
) -> Cameras:
    with full_precision(eyes.device):
        extrinsics = look_at(eyes, up=torch.eye(3)[_axis(up_axis)])[None]
    return Cameras(
        extrinsics,
        make_intrinsics(len(eyes), image_size, projection, fov, scale),
        _image_size(image_size),
        projection,
    )


def orbit_views(
    num_views: int = 8,
    elevation: float = 20.0,
    distance: float = 3.0,
    image_size: int | tuple[int, int] = 224,
    projection: str = 'perspective',
    fov: float = 45.0,
    scale: float = 1.0,
    up_axis: str = 'y',
    start_azimuth: float = 0.0,
) -> Cameras:
    """Cameras on a circle around the up axis that look at the origin.

    Args:
        num_views: V, equally spaced in azimuth.
        elevation: degrees above the horizontal plane.
        distance: from the origin, scene units. The default sees the whole unit sphere.
        image_size: side or (H, W) in pixels.
        projection, fov, scale: see :func:`make_intrinsics`.
        up_axis: world axis that points upwards in the pictures: 'y' for ShapeNet, 'z' for
            ModelNet and LiDAR frames.
        start_azimuth: degrees, of the first view. 0 is the axis that follows ``up_axis`` in the
            cyclic order x, y, z; positive turns are counter-clockwise seen from above.

    Raises:
        ValueError: for impossible values.
    """
    _check_num(num_views)
    _check_distance(distance)
    azimuth = start_azimuth + torch.arange(num_views) * (360.0 / num_views)
    eyes = distance * _spherical(azimuth, torch.full_like(azimuth, float(elevation)), up_axis)
    return _look_at_origin(eyes, image_size, projection, fov, scale, up_axis)


def cube_corner_views(
    image_size: int | tuple[int, int] = 224,
    projection: str = 'orthographic',
    fov: float = 45.0,
    scale: float = 1.0,
    distance: float = SQRT3,
    up_axis: str = 'y',
) -> Cameras:
    """Eight cameras at the corners of a cube that look at the origin.

    The set that SpareNet renders its depth maps from (eyes at (+-1, +-1, +-1), orthographic).
    Views come in the order of the signs of (x, y, z), last one fastest, + first. With the default
    ``scale`` the whole unit sphere lies inside the picture, at depths from 0.73 to 2.73.

    Args:
        image_size: side or (H, W) in pixels.
        projection, fov, scale: see :func:`make_intrinsics`.
        distance: of the eyes from the origin.
        up_axis: world axis that points upwards in the pictures.

    Raises:
        ValueError: for impossible values.
    """
    _check_distance(distance)
    signs = torch.tensor([1.0, -1.0])
    eyes = torch.cartesian_prod(signs, signs, signs) * (distance / SQRT3)
    return _look_at_origin(eyes, image_size, projection, fov, scale, up_axis)


def icosahedron_views(
    faces: bool = False,
    distance: float = 3.0,
    image_size: int | tuple[int, int] = 224,
    projection: str = 'perspective',
    fov: float = 45.0,
    scale: float = 1.0,
    up_axis: str = 'y',
) -> Cameras:
    """Cameras at the corners of an icosahedron around the origin: all around, and evenly.

    Corners are the cyclic permutations of (0, +-1, +-g) with the golden ratio g, none of them on
    an axis; face centres are (+-1, +-1, +-1) and the cyclic permutations of (0, +-g, +-1 / g).

    Args:
        faces: stand before the 20 faces, which are the corners of a dodecahedron, instead of at
            the 12 corners.
        distance: from the origin, scene units.
        image_size: side or (H, W) in pixels.
        projection, fov, scale: see :func:`make_intrinsics`.
        up_axis: world axis that points upwards in the pictures.

    Raises:
        ValueError: for impossible values.
    """
    _check_distance(distance)
    golden = (1 + math.sqrt(5)) / 2
    signs = torch.tensor([1.0, -1.0])
    long = torch.tensor([golden, 1 / golden] if faces else [1.0, golden])
    rectangle = torch.cat([torch.zeros(4, 1), torch.cartesian_prod(signs, signs) * long], 1)
    corners = [rectangle.roll(shift, 1) for shift in range(3)]
    if faces:
        corners.insert(0, torch.cartesian_prod(signs, signs, signs))
    eyes = distance * torch.nn.functional.normalize(torch.cat(corners), dim=-1)
    return _look_at_origin(eyes, image_size, projection, fov, scale, up_axis)


def cap_views(
    num_views: int = 1,
    generator: torch.Generator | None = None,
    direction: tuple[float, float, float] = (0.0, 0.0, 1.0),
    half_angle: float = 30.0,
    distance: float | tuple[float, float] = 3.0,
    image_size: int | tuple[int, int] = 224,
    projection: str = 'perspective',
    fov: float = 45.0,
    scale: float = 1.0,
    up_axis: str = 'y',
) -> Cameras:
    """Cameras drawn uniformly (by area) from a cap of the sphere.

    Args:
        num_views: V.
        generator: CPU generator; default torch's global one.
        direction: from the origin to the middle of the cap, of any length.
        half_angle: degrees in (0, 180] between the middle and the rim; 90 is half of the sphere.
        distance: from the origin, or a range to draw from.
        image_size: side or (H, W) in pixels.
        projection, fov, scale: see :func:`make_intrinsics`.
        up_axis: world axis that points upwards in the pictures.

    Raises:
        ValueError: for impossible values.
    """
    _check_num(num_views)
    near, far = _distance_range(distance)
    if not 0 < half_angle <= 180:
        raise ValueError(f'half_angle must lie in (0, 180] degrees, got {half_angle}')
    middle = torch.tensor(direction, dtype=torch.float32)
    if middle.shape != (3,) or not 1e-9 < middle.norm() < math.inf:
        raise ValueError(f'direction must be 3 finite numbers, not all 0, got {direction}')
    draw = torch.rand(3, num_views, generator=generator)
    # the rows of a camera that looks along the axis are an orthonormal basis around it
    basis = look_at(-middle)[:3, :3]
    turn = 2 * math.pi * draw[0]
    # area on the sphere is uniform in the cosine of the angle from the middle
    cosine = 1 - (1 - math.cos(math.radians(half_angle))) * draw[1]
    sine = (1 - cosine.square()).clamp(min=0).sqrt()
    with full_precision(basis.device):
        eyes = torch.stack([sine * turn.cos(), sine * turn.sin(), cosine], -1) @ basis
    eyes = (near + (far - near) * draw[2])[:, None] * eyes
    return _look_at_origin(eyes, image_size, projection, fov, scale, up_axis)


def sparenet_views(
    image_size: int | tuple[int, int] = 256, projection: str = 'orthographic', scale: float = 1.5
) -> Cameras:
    """The eight cameras of SpareNet's depth renderer.

    Eyes at the corners of a cube, at (+-1, +-1, +-1) for the orthographic projection and three
    times as far for the perspective one with its 45 degrees, that look at the origin with z up.
    Views come in the order of the signs of (x, y, z), last one fastest, - first. The original puts
    the borders of the clip space on the centres of the outermost pixels, which is a focal length
    shorter by ``(size - 1) / size`` in our convention.

    Args:
        image_size: side or (H, W) in pixels; the original is square.
        projection: 'orthographic' or 'perspective'.
        scale: orthographic only, as in :func:`make_intrinsics`. The original 1.5 suits clouds of
            half extent 0.5; of a cloud that fills the unit sphere it cuts off what is farther
            than 2/3 from the optical axis. Take 1.0 for those.

    Raises:
        ValueError: for impossible values.
    """
    distance = SQRT3 * (3.0 if projection == 'perspective' else 1.0)
    cameras = cube_corner_views(image_size, projection, 45.0, scale, distance, up_axis='z')
    cameras = cameras.select_views(list(range(7, -1, -1)))
    intrinsics, (height, width) = cameras.intrinsics.clone(), cameras.image_size
    intrinsics[..., 0, 0] *= (width - 1) / width
    intrinsics[..., 1, 1] *= (height - 1) / height
    return Cameras(cameras.extrinsics, intrinsics, cameras.image_size, projection)


def random_views(
    num_views: int = 1,
    generator: torch.Generator | None = None,
    distance: float | tuple[float, float] = 3.0,
    elevation: tuple[float, float] = (-90.0, 90.0),
    image_size: int | tuple[int, int] = 224,
    projection: str = 'perspective',
    fov: float = 45.0,
    scale: float = 1.0,
    up_axis: str = 'y',
) -> Cameras:
    """Cameras drawn uniformly (by area) from the sphere, or from a band of it.

    Args:
        num_views: V.
        generator: CPU generator; default torch's global one.
        distance: from the origin, or a range to draw from.
        elevation: range in degrees within [-90, 90].
        image_size: side or (H, W) in pixels.
        projection, fov, scale: see :func:`make_intrinsics`.
        up_axis: world axis that points upwards in the pictures.

    Raises:
        ValueError: for impossible values.
    """
    _check_num(num_views)
    low, high = elevation
    if not -90 <= low <= high <= 90:
        raise ValueError(f'elevation must be a range within [-90, 90], got {elevation}')
    near, far = _distance_range(distance)
    draw = torch.rand(3, num_views, generator=generator)
    azimuth = 360.0 * draw[0]
    # area on the sphere is uniform in the sine of the elevation
    sines = [math.sin(math.radians(e)) for e in (low, high)]
    height = torch.rad2deg(torch.asin(sines[0] + (sines[1] - sines[0]) * draw[1]))
    eyes = (near + (far - near) * draw[2])[:, None] * _spherical(azimuth, height, up_axis)
    return _look_at_origin(eyes, image_size, projection, fov, scale, up_axis)


class ViewSet:
    """A view set with its settings: calling it gives the cameras."""

    def __init__(self, **settings) -> None:
        self.settings = settings
        # wrong settings are found when the config is built; the global generator stays untouched
        self(torch.Generator())

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{k}={v!r}" for k, v in self.settings.items())})'


@TASK_UTILS.register_module()
class OrbitViews(ViewSet):
    """:func:`orbit_views` from a config; takes its arguments."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """The cameras (B = 1); always the same, ``generator`` is not needed."""
        return orbit_views(**self.settings)


@TASK_UTILS.register_module()
class CubeCornerViews(ViewSet):
    """:func:`cube_corner_views` from a config; takes its arguments."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """The cameras (B = 1); always the same, ``generator`` is not needed."""
        return cube_corner_views(**self.settings)


@TASK_UTILS.register_module()
class RandomViews(ViewSet):
    """:func:`random_views` from a config; takes its arguments except ``generator``."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """New cameras (B = 1), drawn with ``generator`` or torch's global one."""
        return random_views(generator=generator, **self.settings)


@TASK_UTILS.register_module()
class CapViews(ViewSet):
    """:func:`cap_views` from a config; takes its arguments except ``generator``."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """New cameras (B = 1), drawn with ``generator`` or torch's global one."""
        return cap_views(generator=generator, **self.settings)


@TASK_UTILS.register_module()
class IcosahedronViews(ViewSet):
    """:func:`icosahedron_views` from a config; takes its arguments."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """The cameras (B = 1); always the same, ``generator`` is not needed."""
        return icosahedron_views(**self.settings)


@TASK_UTILS.register_module()
class SpareNetViews(ViewSet):
    """:func:`sparenet_views` from a config; takes its arguments."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """The cameras (B = 1); always the same, ``generator`` is not needed."""
        return sparenet_views(**self.settings)
