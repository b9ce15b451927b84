from .baselines import d2_histogram, l1_nearest_neighbor
from .metrics import ClassificationAccuracy
from .probe_runner import format_table, run_probe
from .probes import knn_probe, linear_svm_probe, standardize, summarize

__all__ = [
    'ClassificationAccuracy',
    'd2_histogram',
    'format_table',
    'knn_probe',
    'l1_nearest_neighbor',
    'linear_svm_probe',
    'run_probe',
    'standardize',
    'summarize',
]
