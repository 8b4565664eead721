"""The command line `pinery …`: its commands, how results look, how a command ends, and the Prefect API it talks to."""
