"""The optimizer: searches parameters in shadow lanes, says how sure it is, and keeps score of what came true."""
