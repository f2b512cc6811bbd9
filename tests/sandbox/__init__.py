"""`scripts/sandbox`: runs a project's workflows between the emulators, and shows what Pinterest holds then."""
