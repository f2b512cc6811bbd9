"""The file of `td-pinterest export --settings`, read as digdag reads it wherever it is."""

from pathlib import Path
from typing import Any

from td_pinterest_op.cli.files import read_file_or_stdin
from td_pinterest_op.cli.lint.findings import Findings
from td_pinterest_op.cli.lint.workflow_check import work_inside
from td_pinterest_op.cli.lint.yaml_file import YamlReader
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import mask_and_escape, replace_in_texts
from td_pinterest_op.settings.table import CREDENTIAL_SETTINGS
from td_pinterest_op.settings.types import has_secret_reference


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the settings in a file (YAML or JSON), with its includes, and one `$` for each `$$`.

    Raises SettingsError, also for a template, except a credential's secret.
    """
    text = read_file_or_stdin(path, "--settings")
    findings = Findings()
    with work_inside(Path() if str(path) == "-" else path.parent):
        settings = YamlReader(findings).read_text(text, Path(path.name))
    if settings is None or findings:
        first = next(iter(findings))
        raise SettingsError(f"the file {path.parent / first.path} of --settings, line {first.line}: {first.message}")
    credentials = {key.name for key in CREDENTIAL_SETTINGS}
    for name, value in settings.items():
        if "${" in str(value) and not (name in credentials and has_secret_reference(value)):
            raise SettingsError(
                f"{mask_and_escape(name)} in the file {path} of --settings contains a template, which only digdag "
                "fills in: write the value itself",
                key=name,
            )
    values: dict[str, Any] = replace_in_texts(settings, "$$", "$")
    return values
