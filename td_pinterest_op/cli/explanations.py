"""What each error means, for people: who must act, an example, and what to do. A test compares it with the code.

Why a value is not sent stands in `td_pinterest_op.reasons`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_AUTHOR = "the workflow's author"
_OWNER = "the owner of the Pinterest account or app"
_NOBODY = "nobody: run it again"
_US = "the authors of this operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorExplanation:
    """`meaning` is one sentence. `example` is a made-up message. `who` completes "… must act"."""

    who: str
    meaning: str
    example: str
    advice: str


ERRORS: Mapping[str, ErrorExplanation] = MappingProxyType(
    {
        "ExportError": ErrorExplanation(
            who="the error's own kind says who",
            meaning="An export ended. Every error below is one of these.",
            example="any of the examples below",
            advice="Read the first sentence of the message: it says what happened, to what, and what to do.",
        ),
        "WorkflowError": ErrorExplanation(
            who=_AUTHOR,
            meaning="Something around the task is wrong: Treasure Data's key or its rights, or the disk of the "
            "machine.",
            example="Treasure Data refused the API key: check the secret td.apikey",
            advice="Check the secret td.apikey, the region (TD_API_SERVER) and the rights of the key's user: "
            "`td-pinterest doctor` tries all of them.",
        ),
        "SettingsError": ErrorExplanation(
            who=_AUTHOR,
            meaning="`result_settings`, or the parameters of the task, are wrong. Neither service was contacted.",
            example="result_settings has 1 problem:\n- audience_id_add_people: missing, and "
            "add_people_to_current_audience "
            "needs it",
            advice="Correct what the message lists. `td-pinterest check FILE.dig` finds the same before a run, with "
            "lines.",
        ),
        "JobError": ErrorExplanation(
            who=_AUTHOR,
            meaning="The Treasure Data job failed, was killed, has no result, or lacks the column. Nothing was sent.",
            example='the result of job 2345678 (columns: mail varchar) cannot be exported: column "mail" is no '
            "identifier",
            advice="Open the job in Treasure Data's console. Select a column email, maid or idfa, or name yours in "
            "`columns`. `td-pinterest doctor --job ID` looks at a job without sending.",
        ),
        "InvalidRowsError": ErrorExplanation(
            who=_AUTHOR,
            meaning="Rows hold values that Pinterest cannot match, and ignore_invalid_records is false. Nothing was "
            "sent.",
            example="12 of 1,000 rows are invalid (not_an_email 12); the first are in rows 17, 23",
            advice="Correct the query, or set ignore_invalid_records: true to skip and count such rows. "
            "`td-pinterest explain not_an_email` has SQL that finds them.",
        ),
        "LimitError": ErrorExplanation(
            who=_AUTHOR,
            meaning="A limit of the settings stopped the export: min_records, max_records, max_invalid_ratio, or no "
            "record "
            "at all. Nothing was sent.",
            example="42 unique records are outside min_records (100)",
            advice="Look at the query's result first: such a limit is there to catch a query that went wrong. Change "
            "the "
            "limit only if the result is right.",
        ),
        "AudienceError": ErrorExplanation(
            who=_AUTHOR,
            meaning="The audience is missing, removed, of another type or ad account, or its name is taken.",
            example="there is no audience 2542620905475 in ad account 549755885175: check both ids",
            advice="`td-pinterest audiences` lists the audiences that exist, with their ids.",
        ),
        "AccountError": ErrorExplanation(
            who=_OWNER,
            meaning="Pinterest refuses the token, or the token lacks a scope or a role.",
            example="Pinterest answered 401 (code 2) to exchanging the refresh token for an access token",
            advice="Run `td-pinterest doctor` to see which it is, and `td-pinterest authorize` to get a new token.",
        ),
        "TreasureDataError": ErrorExplanation(
            who=_NOBODY,
            meaning="Treasure Data did not deliver the whole result, or did not answer.",
            example="the result of job 2345678 is short: 900 rows came of 1000",
            advice="Run the task again. If it happens again, look at Treasure Data's status page.",
        ),
        "PinterestError": ErrorExplanation(
            who="see the message",
            meaning="Pinterest answered, but did not do what it said, or its answer cannot be understood.",
            example="Pinterest answered 200 to moving audience 2542620905475, but the answer has no id",
            advice="Run the task again: it looks first, and does nothing twice. Keep the x-pinterest-rid for "
            "Pinterest's "
            "support.",
        ),
        "RequestRefusedError": ErrorExplanation(
            who=_US,
            meaning="Pinterest will not take this request, however often it is sent.",
            example='Pinterest answered 400 (code 400) "Invalid parameters" to creating audience "Shoppers"',
            advice="Read what Pinterest says in the message. If the settings are right, report it with the "
            "x-pinterest-rid.",
        ),
        "RecordsRefusedError": ErrorExplanation(
            who="the workflow's author, or the authors of this operator",
            meaning="Pinterest will not take some of the records, and ignore_invalid_records is false.",
            example="Pinterest refuses 2 records of customer list 5497558851750",
            advice="Set ignore_invalid_records: true to skip and count them. The rest of the list is as the message "
            "says.",
        ),
        "UnavailableError": ErrorExplanation(
            who="nobody: run it later",
            meaning="Pinterest failed, or could not be reached, until the retries were used up.",
            example="Pinterest answered 503 to ADD of 10000 records, customer list 5497558851750; tried 8 times",
            advice="Run the task again later. What is in stays in, and is not counted twice.",
        ),
        "MaybeAppliedError": ErrorExplanation(
            who=_NOBODY,
            meaning="The answer to a request got lost: Pinterest may have done it.",
            example='no response from Pinterest (time-out) to creating customer list "Shoppers"',
            advice="Run the task again: it looks for what it made before, and makes nothing twice.",
        ),
        "BrokenTwiceError": ErrorExplanation(
            who=_NOBODY,
            meaning="The connection broke at every size of batch until the retries were used up.",
            example="no response from Pinterest (the connection broke) to ADD of 1250 records; tried 8 times",
            advice="Run the task again later. If it happens each time, ask who runs the proxy for its largest body.",
        ),
        "StoppedError": ErrorExplanation(
            who=_NOBODY,
            meaning="The run was told to end (SIGTERM, Ctrl-C). The message says how many records are in.",
            example="the run was told to end (SIGTERM)",
            advice="Run the task again: the same session goes on where it stopped.",
        ),
        "UnexpectedError": ErrorExplanation(
            who=_US,
            meaning="A mistake in this operator.",
            example="KeyError at parse.py:120, in _settings: a mistake in td_pinterest_op",
            advice="Report the line. It holds no data of yours.",
        ),
    }
)
