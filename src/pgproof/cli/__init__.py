"""The command line: reads words, calls the verbs, shows what they found."""
