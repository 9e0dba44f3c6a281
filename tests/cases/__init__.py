"""Public cases of guests and their right answers, against today's answers."""
