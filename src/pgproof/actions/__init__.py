"""The verbs: each joins a source and a repository, decides by pure words, and acts."""
