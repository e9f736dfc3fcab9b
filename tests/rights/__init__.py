"""No escalation, no reading of others, no attempt that rights exclude: random operations, and a judge of them."""
