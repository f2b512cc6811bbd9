"""The local secrets of `digdag run`: one file each, named as the secret, in a folder of the user.

Source: digdag-cli, Secrets.java and ConfigUtil.digdagConfigHome.
"""

from collections.abc import Mapping
from pathlib import Path

from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.atomic_file import replace_file


def folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the local digdag secrets. Raises RuntimeError if the user has no home."""
    config = environ.get("DIGDAG_CONFIG_HOME")
    if config:
        return Path(config) / "secrets"
    home = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "digdag" / "secrets"


def read(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a local secret; None if it is missing, not text, or cannot be read."""
    try:
        return (folder(environ) / name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError):
        return None


def write(name: str, value: Secret, environ: Mapping[str, str]) -> Path:
    """Store a local secret, which only its owner can read; return its file.

    Raises OSError, and RuntimeError as `folder` does.
    """
    file = folder(environ) / name
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.parent.chmod(0o700)
    replace_file(file, value.reveal())
    return file
