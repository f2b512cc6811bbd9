"""`scripts/sandbox`: a project's workflows, run as they are between the emulators, and what Pinterest holds then."""
