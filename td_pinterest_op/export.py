"""The operator: `py>: td_pinterest_op.export.PinterestExport` in a .dig file.

With the parameter `audiences`, a task has a list of exports.
"""

from td_pinterest_op.exporting.entry_runs import export_audiences
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.runtime.clock import SYSTEM_TIMING
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.task import get_current_task, store_workflow_values


class PinterestExport:
    """The operator that exports a query's result to a Pinterest audience, or several results, as the task says."""

    def run(self) -> None:
        """Run the current task's export, and store its statistics as the parameter `pinterest`.

        With the parameter `audiences`, run the export of each entry, and store `pinterest_audiences`.
        """
        with GuardedTaskRun():
            task = get_current_task()
            if "audiences" in task.params:
                store_workflow_values(pinterest_audiences=export_audiences(task, SYSTEM_TIMING))
            else:
                store_workflow_values(pinterest=export_task(task, SYSTEM_TIMING))
