"""asyncpg: the server names the parameters' types, and the driver takes nothing else."""

import asyncio
from datetime import datetime, timezone

import asyncpg
import natural
from natural import CASES, run

# Without a cast the server takes an id for text, and a time for timestamptz.
CASTS = {"int": "::bigint", "bigint": "::bigint", "uuid": "::uuid", "numeric": "::numeric", "naive": "::timestamp"}
# asyncpg's own word for infinity.
ENDS = {"infinity": datetime.max, "-infinity": datetime.min}
natural.VALUES["infinity"] = lambda end: ENDS[end].replace(tzinfo=timezone.utc)
loop = asyncio.new_event_loop()
wait = loop.run_until_complete


def way(statement_cache_size):
    connection = wait(asyncpg.connect(statement_cache_size=statement_cache_size))

    def ask(function, arguments):
        places = ", ".join(f"${n}{CASTS.get(kind, '')}" for n, (kind, _value) in enumerate(arguments, 1))
        return wait(connection.fetchval(f"SELECT {function}({places})", *(value for _kind, value in arguments)))

    async def there_and_back(user_id):
        async def is_valid():
            valid = await connection.fetchval("SELECT session_valid($1, $2)", str(user_id), login_at)
            return valid

        await connection.execute("SELECT stamp($1)", str(user_id))
        login_at = await connection.fetchval("SELECT session_start($1)", str(user_id))
        before = await is_valid()
        await connection.execute("SELECT stamp($1)", str(user_id))
        return f"{before} {await is_valid()}"

    return ask, lambda user_id: wait(there_and_back(user_id))


async def cases():
    connection = await asyncpg.connect()
    return [tuple(case) for case in await connection.fetch(CASES)]


run(wait(cases()), {"prepared": way(100), "unprepared": way(0)}, asyncpg.PostgresError, asyncpg.InterfaceError)
