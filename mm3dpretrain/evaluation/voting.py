"""Accuracy after voting over transformed copies of each cloud, under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence

from mm3dpretrain.registry import METRICS

from .metrics import ClassificationAccuracy


@METRICS.register_module()
class VotingAccuracy(ClassificationAccuracy):
    """Accuracy of ``vote_label``, the class of the mean logits over transformed copies.

    Voting is worth half a point to a point on ModelNet40, so its result is never comparable with
    one without: the names are ``voteN_top1`` and ``voteN_class_mean`` for N copies. Use it beside
    :class:`ClassificationAccuracy`, with ``VoteCopies`` in the test pipeline. Point-BERT's and
    Point-MAE's scripts repeat the vote up to 300 times and print the best; here it is done once.
    """

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store (label, prediction) of one batch.

        Raises:
            ValueError: for a sample without label or vote.
        """
        for sample in data_samples:
            if sample.get('vote_label') is None:
                name = sample.get('sample_id', '?')
                raise ValueError(
                    f'sample {name!r} has no vote_label: add VoteCopies to the test pipeline'
                )
        renamed = [
            dict(gt_label=s.get('gt_label'), pred_label=s.get('vote_label')) for s in data_samples
        ]
        self.num_votes = int(data_samples[0].get('num_votes'))
        super().process(data_batch, renamed)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """``voteN_top1`` and ``voteN_class_mean``, both in percent."""
        found = super().compute_metrics(results)
        return {f'vote{self.num_votes}_{key}': value for key, value in found.items()}
