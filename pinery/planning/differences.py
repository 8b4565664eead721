"""Finds the ids in which an index differs from the live rows, by pure SQL over the plan and what the index lists."""

import duckdb


def define_differences(con: duckdb.DuckDBPyConnection) -> None:
    """Define `expected` and `difference` (id, difference) over the views of a plan and the ids `held` by the index.

    What the ledger knows of an item that is awaited may stay in the index; what was being written of it need not be
    there.
    """
    con.execute("""
        CREATE OR REPLACE VIEW expected AS SELECT * FROM items WHERE part IS NOT NULL AND NOT bad AND NOT refused;
        CREATE OR REPLACE VIEW waiting AS
            SELECT * FROM items WHERE part IS NULL AND NOT refused AND (NOT absent OR doubt);
        CREATE OR REPLACE TABLE difference (id VARCHAR, difference VARCHAR);
        INSERT INTO difference SELECT id, 'missing' FROM expected ANTI JOIN held USING (id);
        INSERT INTO difference SELECT id, 'missing' FROM waiting ANTI JOIN held USING (id) WHERE NOT doubt;
        INSERT INTO difference
            SELECT id, 'extra' FROM held ANTI JOIN expected USING (id) ANTI JOIN waiting USING (id);
        INSERT INTO difference SELECT id, 'stale' FROM expected SEMI JOIN held USING (id)
            WHERE absent OR other_version OR other_metadata OR doubt
    """)
