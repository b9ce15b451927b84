# As _ft, with a folded patch around every coarse point from the global feature alone, as PCN's own
# decoder has it, in place of the transformer; the input is not part of the result.
_base_ = './pointtransformer_1xb32-300e_pcn_ft.py'

model = dict(
    merge_input=False,
    head=dict(
        num_coarse=512,
        upsampler=dict(
            _delete_=True,
            type='FoldingUpsampler',
            decoder=dict(
                type='FoldingDecoder',
                in_channels=771,
                num_points=32,
                grid_size=0.1,
                hidden_dims=(512, 512),
            ),
        ),
    ),
)
