# As _ft; the test also votes over 10 copies, each drawn and scaled anew, and reports the result
# beside the plain one, as accuracy/vote10_*.
_base_ = './pointtransformer_1xb32-300e_modelnet40_ft.py'

test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadPoints'),
            dict(
                type='VoteCopies',
                num_votes=10,
                transforms=[
                    dict(type='SamplePoints', num_points=1024, pre_fps=1200),
                    dict(type='NormalizePoints'),
                    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
                ],
            ),
            dict(type='SamplePoints', num_points=1024, method='fps'),
            dict(type='NormalizePoints'),
            dict(type='PackTriplets'),
        ]
    )
)
test_evaluator = [dict(type='ClassificationAccuracy'), dict(type='VotingAccuracy')]
