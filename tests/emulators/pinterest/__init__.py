"""The Pinterest Ads API v5, as far as audiences and customer lists go: a program with state, strict about shapes.

Source: Pinterest's API description 5.28.0. What is not established of the live service is a switch.
"""

from tests.emulators.pinterest.accounts import AD_ACCOUNT_ID, USER, AdAccount, User
from tests.emulators.pinterest.calls import Call
from tests.emulators.pinterest.consent import PATH as CONSENT_PATH
from tests.emulators.pinterest.emulator import Pinterest, serve_pinterest
from tests.emulators.pinterest.faults import Answer, Effect, Fault, Mangle, Redirect, Reset, Stall, When
from tests.emulators.pinterest.switches import Switches
from tests.emulators.pinterest.tokens import CLIENT_ID, CLIENT_SECRET, MARKER, REFRESH_TOKEN
from tests.emulators.pinterest.world import Audience, CustomerList

__all__ = [
    "AD_ACCOUNT_ID",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "CONSENT_PATH",
    "MARKER",
    "REFRESH_TOKEN",
    "USER",
    "AdAccount",
    "Answer",
    "Audience",
    "Call",
    "CustomerList",
    "Effect",
    "Fault",
    "Mangle",
    "Pinterest",
    "Redirect",
    "Reset",
    "Stall",
    "Switches",
    "User",
    "When",
    "serve_pinterest",
]
