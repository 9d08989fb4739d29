"""Jobs."""
class Job: pass
