# Small: stored text embeddings of CLIP ViT-B-32 for 1585 names and the classes of Shapes69. The
# names were embedded as "a {name}", so that prompts are fixed.
text_space = dict(
    type='TextBank',
    data_root='{{$MM3D_DATA:../shared/data}}/clip_text_vitb32',
    class_set='shapes69',
)
prompts = 'plain'
