"""The help beside the options: the order of the commands and their examples; and the end of wrong usage."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

EXAMPLES = {
    "init": ("pinery init data/sample", "pinery init s3://my-images/photos --out nightly.yaml"),
    "run": (
        "pinery run configs/sample.yaml",
        "pinery run configs/sample.yaml --set source.path=YOUR/FOLDER --set corpus=mine",
        "pinery run configs/cifar.yaml --limit 1000",
        "pinery run configs/sample.yaml --plan plan.json",
    ),
    "plan": (
        "pinery plan configs/sample.yaml",
        "pinery plan configs/sample.yaml --out plan.json",
        "pinery plan configs/s3-nightly.yaml --json",
    ),
    "upsert": ("pinery upsert configs/sample.yaml", "pinery upsert configs/sample.yaml --index filled-anew"),
    "verify": ("pinery verify configs/sample.yaml", "pinery verify configs/sample.yaml --full --repair"),
    "search": (
        "pinery search configs/sample.yaml --image data/query.jpg --top-k 5 --grid hits.png",
        'pinery search configs/sample.yaml --id city-02.jpg --filter \'{"label": {"$ne": "city"}}\'',
        "pinery search configs/clip-folder.yaml --text 'a red bicycle' --plus PICTURE.jpg --minus rain",
    ),
    "serve": (
        "pinery serve configs/sample.yaml",
        "pinery serve configs/sample.yaml configs/clip-folder.yaml --port 8080 --editable",
    ),
    "backfill": (
        'pinery backfill configs/sample.yaml --model \'{"name": "descriptor", "decode": "scaled"}\'',
        "pinery backfill configs/clip-folder.yaml --model clip:openai/clip-vit-large-patch14 --promote",
    ),
    "promote": ("pinery promote configs/clip-folder.yaml --index pinery-clip-vit-l-14-0123456789",),
    "rollback": ("pinery rollback configs/clip-folder.yaml",),
    "remove": ("pinery remove configs/sample.yaml", "pinery remove configs/sample.yaml --yes"),
    "prune": ("pinery prune configs/sample.yaml", "pinery prune configs/sample.yaml --yes"),
    "deploy": ("pinery deploy configs/s3-nightly.yaml --cron '30 3 * * *'",),
    "doctor": ("pinery doctor configs/sample.yaml", "pinery doctor configs/s3-nightly.yaml --json"),
    "status": ("pinery status configs/sample.yaml", "pinery status configs/sample.yaml --json"),
    "runs": ("pinery runs configs/sample.yaml", "pinery runs configs/sample.yaml 6c104f 20261125 --json"),
    "show": ("pinery show configs/sample.yaml --count 36 --grid sample.png",),
    "models": ("pinery models",),
}
"""The examples of each command, which its `--help` shows."""


def examples(command: str) -> str:
    """Return the examples of a command, as the end of its help; click leaves what follows a backspace as it is."""
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in EXAMPLES.get(command, ()))


class Commands(click.Group):
    """Lists the commands in the order of a user's day, and ends wrong usage as every other error ends."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands' names."""
        return list(self.commands)

    def main(self, args: Sequence[str] | None = None, **options: Any) -> Any:  # type: ignore[override]  # click's has overloads
        """Do what the arguments say and exit; with `--json` among them, wrong usage is one object on stdout too."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(args, **options | {"standalone_mode": False})
        except click.ClickException as error:
            if "--json" in given:
                click.echo(json.dumps({"error": error.format_message(), "exit_code": error.exit_code}))
            error.show()
            code = error.exit_code
        except click.Abort:  # Ctrl-C before the command began, or once more while it ended
            click.echo(
                "pinery: stopped by SIGINT; what is published stays. Run the same command again to go on", err=True
            )
            code = 130
        sys.exit(code if isinstance(code, int) else 0)
