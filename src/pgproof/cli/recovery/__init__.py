"""What the command recover does, for each kind of backup: the plan, the question, the recovery, and the ways back."""
