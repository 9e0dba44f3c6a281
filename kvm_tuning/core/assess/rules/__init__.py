"""The rules of an assessment, one function a rule, a module a subject."""
