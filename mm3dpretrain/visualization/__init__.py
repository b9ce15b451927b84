from .contact_sheet import color_depth, contact_sheet, over_white, render_sheet
from .embedding_map import draw_embedding, embed_2d
from .loss_curves import draw_curves, read_scalars
from .points import draw_points
from .reconstructions import draw_reconstructions

__all__ = [
    'color_depth',
    'contact_sheet',
    'draw_curves',
    'draw_embedding',
    'draw_points',
    'draw_reconstructions',
    'embed_2d',
    'over_white',
    'read_scalars',
    'render_sheet',
]
