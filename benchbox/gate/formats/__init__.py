"""How the judgement of a night is written for people and for other programs."""
