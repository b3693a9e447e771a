"""Learning a policy by reinforcement: needs the extra ``learn`` (torch); trading with a learned policy does not."""
