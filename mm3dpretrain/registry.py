"""All registries of mm3dpretrain.

Every node is a child of the MMEngine root registry of the same kind, so that a config reaches a
part of another OpenMMLab package by its scope (``type='mmdet3d.PointNet2SASSG'``) and a part of
this package by its bare name. ``locations`` lists the modules that are imported when a name is
first looked up; importing ``mm3dpretrain`` itself therefore stays cheap.

Parts from outside this package arrive through ``custom_imports`` in a config or through the
entry-point group ``mm3dpretrain.plugins`` (see :func:`mm3dpretrain.utils.load_plugins`).
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

SCOPE = 'mm3dpretrain'

DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope=SCOPE, locations=['mm3dpretrain.datasets']
)
DATA_SAMPLERS = Registry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope=SCOPE, locations=['mm3dpretrain.datasets']
)
# Templates that make texts of class names: `.templates`, `.fill(name) -> list[str]`.
PROMPTS = Registry('prompts', scope=SCOPE, locations=['mm3dpretrain.datasets.prompts'])
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope=SCOPE,
    locations=['mm3dpretrain.datasets.transforms'],
)

MODELS = Registry('model', parent=MMENGINE_MODELS, scope=SCOPE, locations=['mm3dpretrain.models'])
MODEL_WRAPPERS = Registry(
    'model wrapper',
    parent=MMENGINE_MODEL_WRAPPERS,
    scope=SCOPE,
    locations=['mm3dpretrain.engine'],
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer',
    parent=MMENGINE_WEIGHT_INITIALIZERS,
    scope=SCOPE,
    locations=['mm3dpretrain.models'],
)
# Differentiable renderers: `forward(geometry, cameras, features=None) -> RenderOutput`.
RENDERERS = Registry('renderer', scope=SCOPE, locations=['mm3dpretrain.models.renderers'])
TASK_UTILS = Registry(
    'task util', parent=MMENGINE_TASK_UTILS, scope=SCOPE, locations=['mm3dpretrain.models']
)

HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope=SCOPE, locations=['mm3dpretrain.engine'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope=SCOPE, locations=['mm3dpretrain.engine'])
OPTIMIZERS = Registry(
    'optimizer', parent=MMENGINE_OPTIMIZERS, scope=SCOPE, locations=['mm3dpretrain.engine']
)
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=MMENGINE_OPTIM_WRAPPERS,
    scope=SCOPE,
    locations=['mm3dpretrain.engine'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope=SCOPE,
    locations=['mm3dpretrain.engine'],
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler',
    parent=MMENGINE_PARAM_SCHEDULERS,
    scope=SCOPE,
    locations=['mm3dpretrain.engine'],
)
# How a FlexibleRunner spreads the model over processes: DDP, FSDP, DeepSpeed.
STRATEGIES = Registry(
    'strategy', parent=MMENGINE_STRATEGIES, scope=SCOPE, locations=['mm3dpretrain.engine']
)

EVALUATORS = Registry(
    'evaluator', parent=MMENGINE_EVALUATOR, scope=SCOPE, locations=['mm3dpretrain.evaluation']
)
METRICS = Registry(
    'metric', parent=MMENGINE_METRICS, scope=SCOPE, locations=['mm3dpretrain.evaluation']
)
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    scope=SCOPE,
    locations=['mm3dpretrain.visualization'],
)
VISBACKENDS = Registry(
    'vis backend',
    parent=MMENGINE_VISBACKENDS,
    scope=SCOPE,
    locations=['mm3dpretrain.visualization'],
)
