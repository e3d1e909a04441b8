/* The least that a function of session_valid's signature can cost. */
#include "postgres.h"
#include "fmgr.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(noop);

Datum
noop(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}
