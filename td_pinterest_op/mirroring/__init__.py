"""An audience that follows a query: the statements of the warehouse, and what their answers mean."""
