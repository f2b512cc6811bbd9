"""What `td-pinterest rehearse` finds out about Pinterest on the user's ad account."""
