"""Which view belongs to which result; loaded when the first one is shown."""

from spa_kernel.plan import Plan
from spa_kernel.session import Explanation, History, Measurement, Report, Session
from spa_kernel.studies import Sensitivity, Sweep
from spa_kernel.training import Training
from spa_kernel.views.explanation_view import explanation_blocks
from spa_kernel.views.measurement_view import measurement_blocks
from spa_kernel.views.plan_view import plan_blocks, report_blocks
from spa_kernel.views.rich import describe
from spa_kernel.views.session_view import history_blocks, summary_blocks
from spa_kernel.views.study_view import sensitivity_blocks, sweep_blocks
from spa_kernel.views.training_view import training_blocks

describe.register(Session, summary_blocks)
describe.register(Plan, plan_blocks)
describe.register(Report, report_blocks)
describe.register(History, history_blocks)
describe.register(Explanation, explanation_blocks)
describe.register(Measurement, measurement_blocks)
describe.register(Sensitivity, sensitivity_blocks)
describe.register(Sweep, sweep_blocks)
describe.register(Training, training_blocks)
