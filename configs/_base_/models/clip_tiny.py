# A CLIP in a size that two CPU cores train in minutes: a narrow ResNet on 64 x 64 pictures and two
# layers of text. Its checkpoints are weights of dict(type='CLIPTeacher', model=clip_model,
# weights=..., prefix='clip').
clip_model = dict(
    embed_dim=128,
    vision_cfg=dict(image_size=64, layers=(1, 1, 1, 1), width=16, patch_size=None),
    text_cfg=dict(context_length=24, width=96, heads=3, layers=2),
)
model = dict(
    type='CLIPPretrainer',
    # OpenAI's numbers, which CLIPTeacher takes as well
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
    ),
    model=clip_model,
)
