from .embedding_map import draw_embedding, embed_2d
from .loss_curves import draw_curves, read_scalars

__all__ = ['draw_curves', 'draw_embedding', 'embed_2d', 'read_scalars']
