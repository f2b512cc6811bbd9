"""The digdag task: parameters, services, log, signals, and the store of the refresh token."""
