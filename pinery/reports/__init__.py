"""The results of commands and flows as frozen types, which terminal, `--json`, Prefect's artifacts and state share.

`to_dict` gives what `--json` prints; its keys are a contract.
"""

from pinery.reports.comparison import Comparison as Comparison
from pinery.reports.comparison import VerifyReport as VerifyReport
from pinery.reports.estimate import Estimate as Estimate
from pinery.reports.estimate import Range as Range
from pinery.reports.estimate import estimate_lines as estimate_lines
from pinery.reports.gate import ChangedQuery as ChangedQuery
from pinery.reports.gate import Gate as Gate
from pinery.reports.gate import Neighbour as Neighbour
from pinery.reports.gate import Precision as Precision
from pinery.reports.gate import Verdict as Verdict
from pinery.reports.preview import Preview as Preview
from pinery.reports.preview import TargetPlan as TargetPlan
from pinery.reports.promotion import Promotion as Promotion
from pinery.reports.prune import Pruning as Pruning
from pinery.reports.prune import Removable as Removable
from pinery.reports.run import Drift as Drift
from pinery.reports.run import RunReport as RunReport
from pinery.reports.run import TargetReport as TargetReport
from pinery.reports.run import WorkersReport as WorkersReport
from pinery.reports.setup import Check as Check
from pinery.reports.setup import Diagnosis as Diagnosis
from pinery.reports.setup import Proposal as Proposal
from pinery.reports.status import Change as Change
from pinery.reports.status import History as History
from pinery.reports.status import PastRun as PastRun
from pinery.reports.status import Removal as Removal
from pinery.reports.status import RunsCompared as RunsCompared
from pinery.reports.status import Status as Status
from pinery.reports.status import TargetStatus as TargetStatus
