/* libpq: each value is text, without a type unless the program names one. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 3

static PGconn *db;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s", what, PQerrorMessage(db));
    exit(1);
}

/* The first value of the result; an error as its SQLSTATE; NULL as "null". The caller frees it. */
static char *answer_of(PGresult *result) {
    char answer[128];
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        snprintf(answer, sizeof answer, "error %s", PQresultErrorField(result, PG_DIAG_SQLSTATE));
    else
        snprintf(answer, sizeof answer, "%s", PQgetisnull(result, 0, 0) ? "null" : PQgetvalue(result, 0, 0));
    PQclear(result);
    return strdup(answer);
}

static char *ask(int is_prepared, const char *call, int count, const char *const *values, int is_naive) {
    char sql[256];
    int length = snprintf(sql, sizeof sql, "SELECT %s(", call);
    for (int n = 1; n <= count; n++)
        length += snprintf(sql + length, sizeof sql - length, "%s$%d%s", n > 1 ? ", " : "", n,
                           is_naive && n == count ? "::timestamp" : "");
    snprintf(sql + length, sizeof sql - length, ")");
    if (!is_prepared)
        return answer_of(PQexecParams(db, sql, count, NULL, values, NULL, NULL, 0));
    PGresult *made = PQprepare(db, "", sql, 0, NULL);
    if (PQresultStatus(made) != PGRES_COMMAND_OK)
        return answer_of(made);
    PQclear(made);
    return answer_of(PQexecPrepared(db, "", count, values, NULL, NULL, 0));
}

static char *is_valid(const char *user_id, const char *login_at) {
    const char *values[] = {user_id, login_at};
    char *valid = answer_of(PQexecParams(db, "SELECT session_valid($1, $2)", 2, NULL, values, NULL, NULL, 0));
    return valid;
}

static char *round_trip(const char *user_id) {
    free(ask(0, "stamp", 1, &user_id, 0));
    char *login_at = answer_of(PQexecParams(db, "SELECT session_start($1)", 1, NULL, &user_id, NULL, NULL, 0));
    char *before = is_valid(user_id, login_at);
    free(ask(0, "stamp", 1, &user_id, 0));
    char *after = is_valid(user_id, login_at);
    char both[256];
    snprintf(both, sizeof both, "%s %s", before, after);
    free(login_at), free(before), free(after);
    return strdup(both);
}

static char *put(int is_prepared, const char *call, const char *guard, const char *id, const char *kind, const char *login) {
    if (!strcmp(call, "round_trip"))
        return round_trip(id);
    const char *values[MOST];
    int count = 0;
    if (guard)
        values[count++] = guard;
    values[count++] = id;
    char *given = NULL;
    if (!strcmp(kind, "read"))
        login = given = ask(is_prepared, "read_time", 1, &login, 0);
    if (!strcmp(kind, "started"))
        login = given = ask(is_prepared, "session_start", count, values, 0);
    values[count++] = login && !strcmp(login, "null") ? NULL : login;
    char *answer = ask(is_prepared, call, count, values, !strcmp(kind, "naive"));
    free(given);
    return answer;
}

static const char *column(const PGresult *cases, int row, int column) {
    return PQgetisnull(cases, row, column) ? NULL : PQgetvalue(cases, row, column);
}

int main(void) {
    db = PQconnectdb("");
    if (PQstatus(db) != CONNECTION_OK)
        fail("connecting");
    PGresult *cases = PQexec(db, "SELECT name, ask, guard, id, login_as, login FROM cases ORDER BY name, guard");
    if (PQresultStatus(cases) != PGRES_TUPLES_OK)
        fail("reading the cases");
    for (int row = 0; row < PQntuples(cases); row++) {
        const char *name = column(cases, row, 0), *asked = column(cases, row, 1), *guard = column(cases, row, 2);
        const char *calls[] = {"session_verdict", "session_valid"};
        int count = 2;
        if (strcmp(asked, "session"))
            calls[0] = strcmp(asked, "token") ? "round_trip" : "token_valid", count = 1;
        for (int is_prepared = 0; is_prepared < 2; is_prepared++)
            for (int n = 0; n < count; n++) {
                char *answer = put(is_prepared, calls[n], guard, column(cases, row, 3), column(cases, row, 4), column(cases, row, 5));
                printf("%s\t%s\t%s\t%s\t%s\n", name, guard ? guard : "", calls[n], is_prepared ? "prepared" : "unprepared", answer);
                free(answer);
            }
    }
    PQclear(cases);
    PQfinish(db);
}
