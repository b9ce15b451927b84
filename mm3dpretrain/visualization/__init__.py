from .contact_sheet import color_depth, contact_sheet, over_white, render_sheet
from .embedding_map import draw_embedding, embed_2d
from .loss_curves import draw_curves, read_scalars
from .points import bounding_sphere, draw_mesh, draw_points, viewer
from .reconstructions import draw_reconstructions
from .turntable import TurnableItem, write_page

__all__ = [
    'TurnableItem',
    'bounding_sphere',
    'color_depth',
    'contact_sheet',
    'draw_curves',
    'draw_embedding',
    'draw_mesh',
    'draw_points',
    'draw_reconstructions',
    'embed_2d',
    'over_white',
    'read_scalars',
    'render_sheet',
    'viewer',
    'write_page',
]
