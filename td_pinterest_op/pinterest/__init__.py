"""The only folder that speaks HTTP to Pinterest."""
