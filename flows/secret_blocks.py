"""Takes secrets from the environment first, then from Prefect Secret blocks, and never from a config or a parameter."""

import os
from typing import Any

import httpx
from prefect.blocks.system import Secret
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL

from flows.reachable import check_reachable
from pinery.config import Config
from pinery.errors import AccessDeniedError
from pinery.variables import block_of, missing_variables


def provide_secrets(config: Config) -> None:
    """Put what the config needs and the environment lacks into this process' environment, from Secret blocks.

    A block is named as its variable: `pinecone-api-key` for PINECONE_API_KEY. Without the block nothing happens:
    what needs the variable then says what is missing. Raises AccessDeniedError where Prefect refuses the block.
    """
    for variable in missing_variables(config):
        try:
            block: Any = Secret.load(block_of(variable))
            os.environ[variable] = str(block.get())
        except ValueError:  # Prefect raises this for a block that isn't there
            continue
        except (httpx.HTTPError, PrefectException) as error:
            raise AccessDeniedError(
                f"{variable} is not set, and Prefect did not give the Secret block {block_of(variable)}"
                f" ({type(error).__name__}: {error}); set the variable"
            ) from None


def provide_secrets_if_configured(config: Config) -> None:
    """Do the same for a command that runs no flow, if a Prefect API, which may have such blocks, is configured.

    Raises TerminalError where the configured API doesn't answer.
    """
    if missing_variables(config) and PREFECT_API_URL.value():
        check_reachable(PREFECT_API_URL.value())
        provide_secrets(config)
