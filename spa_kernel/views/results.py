"""Which view belongs to which result; loaded when the first one is shown."""

from spa_kernel.plan import Plan
from spa_kernel.session import Explanation, History, Report, Session
from spa_kernel.views.explanation_view import explanation_blocks
from spa_kernel.views.plan_view import plan_blocks, report_blocks
from spa_kernel.views.rich import describe
from spa_kernel.views.session_view import history_blocks, session_blocks

describe.register(Session, session_blocks)
describe.register(Plan, plan_blocks)
describe.register(Report, report_blocks)
describe.register(History, history_blocks)
describe.register(Explanation, explanation_blocks)
