# As _ft; the test also votes over 10 randomly scaled and shifted copies of each cloud and reports
# the result beside the plain one, as part/vote10_*.
_base_ = './pointtransformer_1xb16-300e_shapenetpart_ft.py'

test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadPoints', load_part=True),
            dict(type='SamplePoints', num_points=2048, allow_repeat=True),
            dict(type='NormalizePoints'),
            dict(
                type='VoteCopies',
                num_votes=10,
                transforms=[dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1)],
            ),
            dict(type='PackTriplets'),
        ]
    )
)
test_evaluator = [dict(type='PartSegMetric'), dict(type='PartSegMetric', votes=True)]
