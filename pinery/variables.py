"""Settings that a config takes from the environment because they may be secret, such as `weights: $WEIGHTS_URL`."""

import os
import re

from pinery.config import Config
from pinery.errors import ConfigError
from pinery.target_settings import PineconeSettings

PINECONE_KEY = "PINECONE_API_KEY"


def variable_of(setting: str) -> str | None:
    """Return the environment variable that a setting such as `$WEIGHTS_URL` names, or None where it names none."""
    match = re.fullmatch(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", setting)
    return match and (match[1] or match[2])


def block_of(variable: str) -> str:
    """Return the Prefect Secret block that stands in for a variable, such as `weights-url` for WEIGHTS_URL."""
    return variable.lower().replace("_", "-")


def resolved(setting: str) -> str:
    """Return the setting, or the value of the variable that it names. Raises ConfigError where that is not set."""
    variable = variable_of(setting)
    if variable is None:
        return setting
    if not os.environ.get(variable):
        raise ConfigError(
            f"the config names the environment variable {variable}, which is not set; export it, or save it as the"
            f" Prefect Secret block {block_of(variable)}"
        )
    return os.environ[variable]


def missing_variables(config: Config) -> list[str]:
    """Return the variables that a config needs and that are not set in this process."""
    needed = [PINECONE_KEY] if isinstance(config.index, PineconeSettings) else []
    if config.model.weights is not None and (variable := variable_of(config.model.weights)):
        needed.append(variable)
    return [variable for variable in needed if not os.environ.get(variable)]
