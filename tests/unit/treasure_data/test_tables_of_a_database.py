"""What Treasure Data's list of tables says of one table."""

import pytest

from td_pinterest_op.errors import TreasureDataError
from td_pinterest_op.treasure_data.tables import ListedTable


@pytest.mark.parametrize("schema", ["[1]", "5", "["])
def test_a_schema_that_cannot_be_read_is_an_error_of_treasure_data(schema: str) -> None:
    with pytest.raises(TreasureDataError, match=r"^the columns of people cannot be read"):
        _ = ListedTable(name="people", schema=schema).columns
