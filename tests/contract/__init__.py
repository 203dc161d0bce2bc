"""Two objectives that stress the contract before anything depends on it: two networks and two terms, and a plan with memory.

They live here, not in data/objectives and train/objectives, because the published versions are more than these forty lines.
"""
