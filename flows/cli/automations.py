"""Registers Pinery's automations alone: `python -m flows.cli.automations`, which `make deploy` ends with."""

from flows.cli.ending import end
from flows.cli.launch import register_automations
from flows.cli.shown import automations

if __name__ == "__main__":
    end(lambda: automations(register_automations()), as_json=False)
