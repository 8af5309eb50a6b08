"""Cost rules, one function of shapes per operator."""
