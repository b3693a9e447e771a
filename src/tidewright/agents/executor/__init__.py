"""The executor: the one agent that trades. State, policy, risk gate, and the verdict on proposals."""
