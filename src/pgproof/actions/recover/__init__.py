"""Recover, the worst day: plan, restore beside, stop, switch, start, look; each step on record, and a way back."""
