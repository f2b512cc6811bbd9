"""`python -m td_pinterest_op` and `td-pinterest`: the command line, if what it needs is installed."""

import sys


def main() -> int:
    """Run the command line, and return the exit code."""
    try:
        from td_pinterest_op.cli.program import run

        return run()
    except KeyboardInterrupt:
        # The program, once it runs, has its own words for this.
        sys.stderr.write("error: Stopped before anything was done.\n")
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "jinja2", "pygal", "rich"):
            raise
        sys.stderr.write(
            f"td-pinterest needs the package {error.name}, which is not installed: "
            "run `pip install 'td_pinterest_op[cli]'`, or scripts/setup in a checkout\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
