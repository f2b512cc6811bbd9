"""`td-pinterest rehearse`: finds out, on the user's ad account, what Pinterest's documentation does not say."""
