from .contact_sheet import color_depth, contact_sheet, over_white, render_sheet
from .correspondences import correspondence_sheet, draw_matches, feature_pictures
from .embedding_map import draw_embedding, embed_2d
from .feature_colors import pca_colors, point_features
from .lidar_overlay import draw_birds_eye, draw_lidar_overlay, scale_colors
from .loss_curves import draw_curves, read_scalars
from .points import bounding_sphere, draw_mesh, draw_points, viewer
from .reconstructions import (
    Reconstruction,
    draw_reconstructions,
    reconstruct_clouds,
    reconstruction_sheet,
)
from .retrieval_sheet import draw_retrieval_sheet, read_shape, shape_picture
from .turntable import TurnableItem, mesh_item, write_page

__all__ = [
    'Reconstruction',
    'TurnableItem',
    'bounding_sphere',
    'color_depth',
    'contact_sheet',
    'correspondence_sheet',
    'draw_birds_eye',
    'draw_curves',
    'draw_embedding',
    'draw_lidar_overlay',
    'draw_matches',
    'draw_mesh',
    'draw_points',
    'draw_reconstructions',
    'draw_retrieval_sheet',
    'embed_2d',
    'feature_pictures',
    'mesh_item',
    'over_white',
    'pca_colors',
    'point_features',
    'read_scalars',
    'read_shape',
    'reconstruct_clouds',
    'reconstruction_sheet',
    'render_sheet',
    'scale_colors',
    'shape_picture',
    'viewer',
    'write_page',
]
