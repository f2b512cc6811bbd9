"""Requests to Pinterest. No other folder sends any."""
