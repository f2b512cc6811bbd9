"""Runs the operator as a `py>` task does: a Python process with digdag's runner, which returns statistics."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.measuring import Cost, measure_cost
from tests.bench.services import DATABASE, Services

_RUNNER = Path(__file__).parent.parent / "dig" / "py_child.py"


def export(services: Services, job_id: str, **settings: Any) -> tuple[Cost, int]:
    """Add the rows of a job to the audience, with more `settings`.

    Returns the cost, and the number of the people who were sent or suppressed.
    """
    result_settings = {
        "type": "pinterest",
        "ad_account_id": services.environ["PINTEREST_AD_ACCOUNT_ID"],
        "audience_type": "customer_list",
        "action": "add_people_to_current_audience",
        "audience_id": services.environ["PINTEREST_AUDIENCE_ID"],
        "ignore_invalid_records": True,
    } | settings
    with tempfile.TemporaryDirectory() as folder:
        # Alone in its folder, as Python looks there first for imports.
        runner, given, stored = (Path(folder) / name for name in ("runner.py", "input.json", "output.json"))
        shutil.copy(_RUNNER, runner)
        task = {"job_id": job_id, "database": DATABASE, "result_settings": result_settings}
        given.write_text(json.dumps({"params": task}))
        command = [str(runner), "td_pinterest_op.export.PinterestExport", str(given), str(stored)]
        cost = measure_cost(command, services.environ)
        records = json.loads(stored.read_text())["store_params"]["pinterest"]["records"]
        return cost, records["sent"] + records["withheld"]["suppressed"]
