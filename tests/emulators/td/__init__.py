"""An emulator of Treasure Data's API: a program with state that executes the queries it is sent.

`serve_td()` runs it on the loop-back interface; `TreasureData` is its state and its controls.
"""

from tests.emulators.td.app import serve_td
from tests.emulators.td.faults import Fault, JobFault
from tests.emulators.td.state import API_KEY, TreasureData

__all__ = ["API_KEY", "Fault", "JobFault", "TreasureData", "serve_td"]
