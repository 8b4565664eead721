"""Where secrets come from: the environment first, then a Prefect Secret block; never a config or a parameter."""

import os

from prefect.blocks.system import Secret

from pinery.config import Config

PINECONE_BLOCK = "pinecone-api-key"
PINECONE_VARIABLE = "PINECONE_API_KEY"


def provide_secrets(config: Config) -> None:
    """Put the Pinecone key of the Secret block `pinecone-api-key` into this process' environment, if it has none.

    Without the block nothing happens: the index itself then says what is missing.
    """
    if config.index.kind != "pinecone" or os.environ.get(PINECONE_VARIABLE):
        return
    try:
        block = Secret.load(PINECONE_BLOCK)
    except ValueError:  # Prefect's word for a block that isn't there
        return
    os.environ[PINECONE_VARIABLE] = str(block.get())
