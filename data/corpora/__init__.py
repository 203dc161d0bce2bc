"""Public-domain text that comes with the project; README.md says what each file is and where it comes from."""
