"""What all differentiable renderers share."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from mm3dpretrain.structures import Cameras, Meshes


@dataclass(eq=False)
class RenderOutput:
    """Maps of V views of B samples.

    Attributes:
        depth: (B, V, H, W) along z of the camera, in scene units; 0 is background.
        mask: (B, V, H, W) soft coverage in [0, 1]; 0 is background.
        index: int64 (B, V, H, W), index of the front-most primitive, -1 is background.
        features: (B, V, C, H, W), 0 in the background, or None if none were rendered.
        bary: (B, V, H, W, 3) of meshes: barycentric weights of the corners of the face ``index``
            on its surface (perspective-correct), 0 in the background; else None.
    """

    depth: Tensor
    mask: Tensor
    index: Tensor
    features: Tensor | None = None
    bary: Tensor | None = None


class BaseRenderer(nn.Module, metaclass=ABCMeta):
    """A differentiable renderer: ``forward(geometry, cameras, features=None) -> RenderOutput``.

    Near and far planes belong to the configuration and are never taken from a batch: otherwise
    the samples of a batch would influence each other's pictures.

    Args:
        near, far: geometry with a depth outside [near, far] is not drawn; scene units along z.

    Raises:
        ValueError: unless ``0 < near < far``.
    """

    def __init__(self, near: float, far: float) -> None:
        super().__init__()
        if not 0 < near < far < float('inf'):
            raise ValueError(f'need 0 < near < far, got near={near}, far={far}')
        self.near = float(near)
        self.far = float(far)

    @abstractmethod
    def forward(
        self, geometry: Tensor | Meshes, cameras: Cameras, features: Tensor | None = None
    ) -> RenderOutput:
        """Render ``geometry``, points (B, N, 3) or meshes, into every camera."""

    def depth_image(self, output: RenderOutput) -> Tensor:
        """Depth as a picture: ``mask * (far - depth) / (far - near)``.

        Near is bright, the background 0. Multiplied with the soft mask, the picture falls off
        smoothly at silhouettes, so that a loss on it moves points within the image plane there as
        well, which the depth map itself (a step at every silhouette) cannot do. The far plane has
        the value of the background: leave a margin between the object and ``far``.

        Returns:
            (B, V, H, W) in [0, 1].
        """
        return output.mask * (self.far - output.depth) / (self.far - self.near)
