"""The digdag task around an export: parameters, log, signals, and where a refresh token is kept."""
