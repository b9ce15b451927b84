"""What is known of one training sample besides its input tensors."""

from mmengine.structures import BaseDataElement


class PretrainDataSample(BaseDataElement):
    """Labels, cameras and predictions of one sample.

    Meta information (``metainfo``): ``sample_id`` (str), ``synset`` (str), ``model_id`` (str),
    ``gravity_axis`` ('x' | 'y' | 'z' | 'none'), ``normalization`` ('unit_sphere' | 'metric' | ...),
    ``point_channels`` (tuple of str such as ``('x', 'y', 'z', 'r', 'g', 'b')``), ``caption``.

    Data fields, all optional:

    - ``gt_label``: int64 tensor (1,), class of the shape.
    - ``gt_part``: int64 tensor (N,), part of every point.
    - ``gt_points``: float32 tensor (M, 3), the complete cloud where ``points`` is a partial one.
    - ``cameras``: :class:`~mm3dpretrain.structures.Cameras` with B = 1, one per image view.
    - ``feat_global`` (C,), ``feat_local`` (G, C), ``feat_xyz`` (G, 3), ``feat_embed`` (D,): what
      ``predict`` found.
    - ``pred_label`` int64 (1,), ``pred_score`` (num_classes,): classification.
    - ``pred_part_score`` (N, num_parts): part segmentation; ``pred_points`` (M, 3): completion.
    - ``gt_depth``, ``pred_depth`` (H, W): metres along z, 0 where nothing was measured.
    - ``point_embed``, ``image_embed`` (M, D), ``point_uv`` (V, M, 2), ``point_seen`` bool (V, M):
      points and their pixels in a common space, see ``SimIPU.predict``.
    - names that begin with ``vote_``: the same after voting over ``num_votes`` copies.
    """
