"""An audience that follows a query."""
