"""The published client's calls, as a caller has them, and a few requests that it would not make."""

import functools
import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import requests

from tests.emulators.pinterest import AD_ACCOUNT_ID, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, Pinterest


class _Package(ModuleType):
    """A package of the published client that imports what it is asked for, and not its thousand models at once."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        self.__path__ = [str(Path(spec.origin).parent)]
        imports = re.findall(r"^from (\S+) import (\w+)", Path(spec.origin).read_text(), re.MULTILINE)
        self._modules = {known: module for module, known in imports}
        sys.modules[name] = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._modules:
            raise AttributeError(name)
        return getattr(importlib.import_module(self._modules[name]), name)


@functools.cache
def client_package() -> Any:
    package: Any = _Package("pinterestsdk")
    package.api = _Package("pinterestsdk.api")
    package.models = _Package("pinterestsdk.models")
    return package


class LazyModule:
    """The module `pinterestsdk`, imported when a test runs: each worker collects the tests, and few run them."""

    def __getattr__(self, name: str) -> Any:
        # pytest asks each object of a test file whether it is a fixture or a mock.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(client_package(), name)


pinterestsdk = LazyModule()
ACCOUNT: dict[str, Any] = {"ad_account_id": AD_ACCOUNT_ID}


def digest(number: int) -> str:
    return hashlib.sha256(f"person{number}@example.org".encode()).hexdigest()


PEOPLE = [digest(number) for number in range(250)]


class Sdk:
    """The published client's calls, authorised, as a caller would have them."""

    def __init__(self, endpoint: str, access_token: str | None) -> None:
        self.endpoint = endpoint
        configuration = pinterestsdk.Configuration(
            host=endpoint, access_token=access_token, username=CLIENT_ID, password=CLIENT_SECRET
        )
        client = pinterestsdk.ApiClient(configuration)
        self.oauth = pinterestsdk.OauthApi(client)
        self.accounts = pinterestsdk.AdAccountsApi(client)
        self.lists = pinterestsdk.CustomerListsApi(client)
        self.audiences = pinterestsdk.AudiencesApi(client)
        self.ad_groups = pinterestsdk.AdGroupsApi(client)
        self.campaigns = pinterestsdk.CampaignsApi(client)
        self.segments = pinterestsdk.CustomerSegmentApi(client)
        self.templates = pinterestsdk.TargetingTemplateApi(client)

    def create_list(self, name: str, people: list[str] | None = None, **fields: Any) -> Any:
        given = {"records": ",".join(people)} if people else {}
        body = pinterestsdk.CustomerListCreate(name=name, list_type=pinterestsdk.UserListType.EMAIL, **given, **fields)
        return self.lists.customer_lists_create(**ACCOUNT, customer_list_create=body)

    def update_list(self, list_id: str, operation: str, records: str | None = None, **fields: Any) -> Any:
        body = pinterestsdk.CustomerListUpdateWithRequiredBody(
            operation_type=pinterestsdk.UserListOperationType(operation), records=records, **fields
        )
        return self.lists.customer_lists_update(
            **ACCOUNT, customer_list_id=list_id, customer_list_update_with_required_body=body
        )

    def create_audience(self, name: str, list_id: str) -> Any:
        body = pinterestsdk.AdAccountsAudienceCreate(
            **ACCOUNT,
            name=name,
            audience_type=pinterestsdk.AudienceType.CUSTOMER_LIST,
            rule=pinterestsdk.AdAccountsAudienceRule(customer_list_id=list_id),
        )
        return self.audiences.audiences_create(**ACCOUNT, ad_accounts_audience_create=body)

    def update_audience(self, audience_id: str, operation: str, **fields: Any) -> Any:
        body = pinterestsdk.AdAccountsAudienceUpdate(
            operation_type=pinterestsdk.AudienceUpdateOperationType(operation), **fields
        )
        return self.audiences.audiences_update(**ACCOUNT, audience_id=audience_id, ad_accounts_audience_update=body)

    def get_audience(self, audience_id: str) -> Any:
        return self.audiences.audiences_get(**ACCOUNT, audience_id=audience_id)


def error_code(error: Any) -> Any:
    """Return Pinterest's error code as the published client parses it."""
    parsed: Any = error.data
    return parsed.code


def refresh_access_token(sdk: Sdk, refresh_token: str = REFRESH_TOKEN) -> Any:
    return sdk.oauth.oauth_token(
        grant_type=pinterestsdk.TokenGrantType.REFRESH_TOKEN, refresh_token=refresh_token, continuous_refresh="true"
    )


def patch_list(sdk: Sdk, pinterest: Pinterest, list_id: str, **sent: Any) -> requests.Response:
    """Send a request that the published client cannot make."""
    headers = {"Authorization": f"Bearer {pinterest.tokens.issue_access_token()}", **sent.pop("headers", {})}
    url = f"{sdk.endpoint}/ad_accounts/{AD_ACCOUNT_ID}/customer_lists/{list_id}"
    return requests.patch(url, headers=headers, **{"timeout": 10, **sent})
