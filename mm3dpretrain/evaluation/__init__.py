from .baselines import d2_histogram, l1_nearest_neighbor
from .box_recall import BoxRecall
from .completion_metric import CompletionMetric, completion_scores
from .depth_metric import DepthMetric, depth_scores
from .indoor_metric import PresentClassesIndoorMetric
from .matching_metric import CrossModalRetrieval, pixel_distance, retrieve_points
from .metrics import ClassificationAccuracy
from .part_seg_metric import PartSegMetric, parts_of_scores, shape_iou
from .probe_runner import format_table, run_probe
from .probes import knn_probe, linear_svm_probe, standardize, summarize
from .retrieval import RetrievalMetric, first_ranks
from .view_metric import ViewConsistencyMetric
from .voting import VotingAccuracy
from .zero_shot import ZeroShotMetric, class_ranks

__all__ = [
    'BoxRecall',
    'ClassificationAccuracy',
    'CompletionMetric',
    'CrossModalRetrieval',
    'DepthMetric',
    'PartSegMetric',
    'PresentClassesIndoorMetric',
    'RetrievalMetric',
    'ViewConsistencyMetric',
    'VotingAccuracy',
    'ZeroShotMetric',
    'class_ranks',
    'completion_scores',
    'd2_histogram',
    'depth_scores',
    'first_ranks',
    'format_table',
    'knn_probe',
    'l1_nearest_neighbor',
    'linear_svm_probe',
    'parts_of_scores',
    'pixel_distance',
    'retrieve_points',
    'run_probe',
    'shape_iou',
    'standardize',
    'summarize',
]
